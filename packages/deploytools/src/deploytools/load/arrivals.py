"""When tasks are to be sent, in seconds from the start: whatever is answered, and when."""

from collections.abc import Iterator
from itertools import count
from random import Random


def at_random(per_second: float, random: Random) -> Iterator[float]:
    """Yield Poisson arrivals: independent of each other."""
    at_seconds = 0.0
    while True:
        at_seconds += random.expovariate(per_second)
        yield at_seconds


def evenly(per_second: float) -> Iterator[float]:
    """Yield arrivals at a fixed distance."""
    for number in count():
        yield number / per_second


def in_bursts(size: int, every_seconds: float) -> Iterator[float]:
    """Yield `size` arrivals at once, and again after `every_seconds`."""
    for number in count():
        yield from [number * every_seconds] * size
