"""What all peers share: the work a task does, how it is offered, and how a peer says which workers it wants.

A peer is a file beside this one. Its name, its docstring and `main` at its end tell the driver
(`python -m loadtests.peers`) everything; whatever it needs to be installed stands in its own script header, so that
each runs in an environment of its own. This module therefore imports nothing but the standard library.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cache
from inspect import isawaitable
from pathlib import Path
from random import Random
from typing import Any

TIERS = ("high", "medium", "low")
SLOTS_PER_TIER = 2
SLOTS = SLOTS_PER_TIER * len(TIERS)
URL = os.environ.get("PEERS_URL", "")
RECORD = struct.Struct("<qdd")  # the tier's index; when the task was meant to be sent, and started (epoch seconds)

Send = Callable[[str, float, float], Awaitable[Any] | Any]  # tier, intended_at, service seconds


def work(tier: str, intended_at: float, seconds: float) -> None:
    """Do what a task of the benchmark does: note the start, hold the slot."""
    note_start(tier, intended_at)
    if seconds:
        time.sleep(seconds)


async def work_async(tier: str, intended_at: float, seconds: float) -> None:
    """Do the same where tasks are coroutines."""
    note_start(tier, intended_at)
    if seconds:
        await asyncio.sleep(seconds)


def note_start(tier: str, intended_at: float) -> None:
    """Append a record: one write of 24 bytes, the same for every peer, whatever it thinks of results."""
    os.write(_records(), RECORD.pack(TIERS.index(tier), intended_at, time.time()))


def main(
    workers: Iterable[Sequence[str]], *, send: Send | None = None, sender: Callable[[], Any] | None = None
) -> None:
    """Answer the driver. `send` publishes one task; or `sender` is an asynchronous context that gives such a function.

    describe                                   print the command lines of all workers
    offer TIERS COUNT PER_SECOND SECONDS SEED  publish; PER_SECOND 0 means at once; print the calls a second
    """
    match sys.argv[1:]:
        case ["describe"]:
            print(json.dumps([list(argv) for argv in workers]))
        case ["offer", tiers, count, per_second, seconds, seed]:
            context: AbstractAsyncContextManager[Send] = sender() if sender else nullcontext(send)  # type: ignore[arg-type]
            offering = _offer(
                context, tiers.split(","), int(count), float(per_second), float(seconds), Random(int(seed))
            )
            print(json.dumps(asyncio.run(offering)))
        case words:
            sys.exit(f"{sys.argv[0]}: {words}: it is run by `python -m loadtests.peers`")


def own(program: str) -> str:
    """Return the path of a program of this environment."""
    return str(Path(sys.executable).with_name(program))


async def _offer(
    context: AbstractAsyncContextManager[Send],
    tiers: Sequence[str],
    count: int,
    per_second: float,
    seconds: float,
    random: Random,
) -> float:
    async with context as send:
        began_at = intended_at = time.time()
        for number in range(count):
            if per_second:
                intended_at += random.expovariate(per_second)
                if (early := intended_at - time.time()) > 0:
                    await asyncio.sleep(early)
            answer = send(tiers[number % len(tiers)], intended_at, seconds)
            if isawaitable(answer):
                await answer
        return count / (time.time() - began_at)


@cache
def _records() -> int:
    return os.open(os.environ["PEERS_RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
