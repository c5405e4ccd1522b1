"""Beats under test: which of them leads, and what they sent."""

import json

import redis

from deploytools.testing.processes import Running
from deploytools.testing.waiting import wait_until

TAKEOVER_SECONDS = 60.0


def role(beat: Running) -> str:
    """Return what a beat said last: that it leads, or stands by."""
    said = [line.partition("beat: ")[2] for line in beat.log().splitlines()]
    return next((words for words in reversed(said) if words.startswith(("leads", "stands by"))), "")


def leader(beats: list[Running]) -> Running:
    """Wait until one of them leads; return it."""

    def leading() -> list[Running]:
        return [beat for beat in beats if role(beat) == "leads"]

    return wait_until(leading, "a leader", deadline_seconds=TAKEOVER_SECONDS)[0]


def due_times(client: redis.Redis, queue: str) -> list[float]:
    """Return when the ticks in a queue were due, in seconds of the epoch, sorted."""
    messages = [json.loads(raw) for raw in client.lrange(queue, 0, -1)]
    return sorted(message["headers"]["x_due_at"] for message in messages)
