"""What a broker's queues hold: how many messages, how old the oldest, how many taken and not yet acknowledged."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery import Celery

from deploytools.publish_time import PUBLISHED_AT


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue. `oldest_seconds` is the age of the message that is next to be taken; None where it cannot be known."""

    name: str
    depth: int
    oldest_seconds: float | None


def read_queues(app: Celery, names: Iterable[str]) -> dict[str, QueueState]:
    """Return the state of each queue; one that does not exist yet is empty."""
    with app.connection_for_read() as connection:
        return queue_states(connection, names)


def queue_states(connection: Any, names: Iterable[str]) -> dict[str, QueueState]:
    """Return the state of each queue, over a connection that is kept."""
    return {
        name: QueueState(
            name=name, depth=queue_depth(connection, name), oldest_seconds=_oldest_seconds(connection, name)
        )
        for name in names
    }


def queue_depth(connection: Any, name: str) -> int:
    """Return how many messages wait in a queue, over a connection that is kept; 0 where it does not exist yet."""
    channel = connection.default_channel
    if hasattr(channel, "client"):
        return int(channel._size(name))  # kombu's own sum over its priority lists
    with connection.channel() as own:  # a queue that does not exist closes the channel
        try:
            return int(own.queue_declare(queue=name, passive=True).message_count)
        except connection.channel_errors:
            return 0


def count_unacked(app: Celery) -> int | None:
    """Return how many messages of this broker are taken and not acknowledged; None where it cannot be known."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        return int(channel.client.hlen(channel.unacked_key)) if hasattr(channel, "client") else None


def _oldest_seconds(connection: Any, name: str) -> float | None:
    channel = connection.default_channel
    head = channel.client.lindex(name, -1) if hasattr(channel, "client") else None
    return _age_seconds(head, time.time()) if head else None


def _age_seconds(raw: bytes | str, now: float) -> float | None:
    try:
        published_at: float = json.loads(raw)["headers"][PUBLISHED_AT]
    except (ValueError, KeyError, TypeError):
        return None  # published by something that does not stamp
    return max(0.0, now - published_at)
