"""How far the workers' clocks are off this one: a wait compares two of them."""

import time
from dataclasses import dataclass
from typing import Any

from celery import Celery

from deploytools.worker.clock import CLOCK

QUESTIONS = 5
REPLY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """A worker's clock minus ours, in seconds; the true value is at most `uncertainty_seconds` from it."""

    node: str
    seconds: float
    uncertainty_seconds: float


def clock_offsets(app: Celery, nodes: int) -> list[Offset]:
    """Ask so many workers for the time, some times each, and return the best answer of each (as NTP does)."""
    best: dict[str, Offset] = {}
    for _ in range(QUESTIONS):
        asked_at = time.time()

        def hear(reply: dict[str, Any], asked_at: float = asked_at) -> None:
            heard_at = time.time()
            for node, answer in reply.items():
                half = (heard_at - asked_at) / 2
                offset = Offset(node=node, seconds=answer["now"] - asked_at - half, uncertainty_seconds=half)
                if node not in best or half < best[node].uncertainty_seconds:
                    best[node] = offset

        app.control.broadcast(CLOCK, reply=True, timeout=REPLY_SECONDS, limit=nodes, callback=hear)
    return sorted(best.values(), key=lambda offset: offset.node)
