"""What a broker's queues hold: how many messages, how old the oldest, how many taken and not yet acknowledged."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery import Celery

from deploytools.stamps import PUBLISHED_AT


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue. `oldest_seconds` is the age of the message that is next to be taken; None where it cannot be known."""

    name: str
    depth: int
    oldest_seconds: float | None


def read_queues(app: Celery, names: Iterable[str]) -> dict[str, QueueState]:
    """Return the state of each queue; one that does not exist yet is empty."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        is_redis = hasattr(channel, "client")
        return {name: _read_redis(channel, name) if is_redis else _read_amqp(connection, name) for name in names}


def count_unacked(app: Celery) -> int | None:
    """Return how many messages of this broker are taken and not acknowledged; None where it cannot be known."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        return int(channel.client.hlen(channel.unacked_key)) if hasattr(channel, "client") else None


def _read_redis(channel: Any, name: str) -> QueueState:
    depth = int(channel._size(name))  # kombu's own sum over its priority lists
    head = channel.client.lindex(name, -1)
    return QueueState(name=name, depth=depth, oldest_seconds=_age_seconds(head, time.time()) if head else None)


def _read_amqp(connection: Any, name: str) -> QueueState:
    with connection.channel() as channel:
        try:
            depth = channel.queue_declare(queue=name, passive=True).message_count
        except connection.channel_errors:
            depth = 0
    return QueueState(name=name, depth=depth, oldest_seconds=None)


def _age_seconds(raw: bytes | str, now: float) -> float | None:
    try:
        published_at: float = json.loads(raw)["headers"][PUBLISHED_AT]
    except (ValueError, KeyError, TypeError):
        return None  # published by something that does not stamp
    return max(0.0, now - published_at)
