"""Messages that are almost right: a good one with a byte, a field or its length changed."""

import json
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    17,
    1e308,
    "",
    "x",
    "\x00",
    "é" * 50,
    [],
    [[]],
    {},
    {"a": {}},
    [1, "2", None],
)


def fuzzed(good: bytes, count: int, *, seed: int) -> Iterator[bytes]:
    """Yield so many broken versions of a message, the same for the same seed."""
    random = Random(seed)  # noqa: S311
    envelope = json.loads(good)
    for _ in range(count):
        yield (
            random.choice((_flip, _cut, _insert))(good, random) if random.random() < 0.4 else _change(envelope, random)
        )


def _flip(good: bytes, random: Random) -> bytes:
    broken = bytearray(good)
    for _ in range(random.randint(1, 8)):
        broken[random.randrange(len(broken))] = random.randrange(256)
    return bytes(broken)


def _cut(good: bytes, random: Random) -> bytes:
    return good[: random.randrange(len(good))]


def _insert(good: bytes, random: Random) -> bytes:
    at = random.randrange(len(good))
    return good[:at] + random.randbytes(random.randint(1, 20)) + good[at:]


def _change(envelope: dict[str, Any], random: Random) -> bytes:
    """Give a field at any depth another value, or take it away."""
    broken = deepcopy(envelope)
    place: Any = broken
    while True:
        key = random.choice(list(place))
        if isinstance(place[key], dict) and place[key] and random.random() < 0.7:
            place = place[key]
            continue
        if random.random() < 0.3:
            del place[key]
        else:
            place[key] = random.choice(ODD_VALUES)
        return json.dumps(broken).encode()
