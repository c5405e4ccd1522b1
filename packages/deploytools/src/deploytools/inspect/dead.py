"""Dead letters: read them, give them back to their queues, forget them."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from celery import Celery
from redis import Redis

from deploytools.fleet import Fleet
from deploytools.transport.dead import Reason, dead_queue

# KEYS dead letters, queue; ARGV record, message or '' (forget it). One step: a letter is replayed once, whoever asks.
TAKE_OUT = """#!lua flags=allow-oom
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then redis.call('LPUSH', KEYS[2], ARGV[2]) end
return 1
"""
DELIVERY_HEADERS = ("x-redeliveries", "redelivered", "x-death", "x-delivery-count", "x-acquired-count")
# RabbitMQ gives back what was read a moment after the channel that read it is closed.
GIVEN_BACK_SECONDS, POLL_SECONDS = 2.0, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message nobody can run. `id` is made of its content; `at`: epoch seconds; `task`: None if unreadable.

    `message` is what replaying publishes: the original, without the marks of its past deliveries.
    """

    id: str
    tier: str
    queue: str
    reason: str
    error: str
    at: float
    task: str | None
    task_id: str | None
    raw: str
    message: str | None

    def matches(self, *, tier: str | None, task: str | None, reason: str | None) -> bool:
        """Say whether it is one of those that are asked for; None asks for any."""
        return tier in {None, self.tier} and task in {None, self.task} and reason in {None, self.reason}


def read_dead_letters(app: Celery, fleet: Fleet) -> list[DeadLetter]:
    """Return all dead letters of a fleet, oldest first in each tier."""
    with app.connection_for_read() as connection:
        return [letter for tier in fleet for letter in _box(connection, tier.name, tier.queue).read()]


def count_dead_letters(app: Celery, fleet: Fleet) -> dict[str, int]:
    """Return tier name → how many dead letters it has."""
    with app.connection_for_read() as connection:
        return {tier.name: _box(connection, tier.name, tier.queue).count() for tier in fleet}


def take_out(app: Celery, letters: Iterable[DeadLetter], *, replay: bool) -> int:
    """Publish letters to their queues again, or forget them; return how many were still there.

    Whoever does the same at the same time shares the letters with us: none is published twice.
    """
    with app.connection_for_write() as connection:
        by_queue: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            by_queue.setdefault(letter.queue, []).append(letter)
        return sum(
            _box(connection, some[0].tier, queue).take_out(some, replay=replay) for queue, some in by_queue.items()
        )


def _box(connection: Any, tier: str, queue: str) -> "RedisDeadLetters | RabbitDeadLetters":
    is_redis = hasattr(connection.default_channel, "client")
    return RedisDeadLetters(connection, tier, queue) if is_redis else RabbitDeadLetters(connection, tier, queue)


@dataclass(frozen=True, slots=True)
class RedisDeadLetters:
    """A queue's dead letters in Redis: a list of records, as `deploytools.transport.dead` makes them."""

    connection: Any
    tier: str
    queue: str

    def read(self) -> list[DeadLetter]:
        """Return them, oldest first."""
        return [self._letter(record) for record in reversed(self._records())]

    def count(self) -> int:
        """Return how many there are."""
        return int(self._command("LLEN", self._key(dead_queue(self.queue))))

    def take_out(self, letters: list[DeadLetter], *, replay: bool) -> int:
        """Take letters out, all that are still there; see `take_out` above."""
        records = {self._letter(record).id: record for record in self._records()}
        keys = (self._key(dead_queue(self.queue)), self._key(self.queue))
        return sum(
            int(self._command("EVAL", TAKE_OUT, 2, *keys, records[letter.id], (letter.message or "") if replay else ""))
            for letter in letters
            if letter.id in records
        )

    def _records(self) -> list[bytes]:
        found: list[bytes] = self._command("LRANGE", self._key(dead_queue(self.queue)), 0, -1)
        return found

    def _key(self, name: str) -> str:
        return f"{self.connection.default_channel.global_keyprefix}{name}"

    def _command(self, *words: Any) -> Any:
        # Not kombu's own client with a key prefix: it knows only the commands that kombu uses.
        client: Any = self.connection.default_channel.client
        return cast(Any, Redis).execute_command(client, *words)

    def _letter(self, record: bytes) -> DeadLetter:
        try:
            known = json.loads(record)
            raw, reason, error, at = known["raw"], known["reason"], known["error"], float(known["at"])
        except (ValueError, KeyError, TypeError):
            raw, reason, error, at = record.decode("utf-8", "backslashreplace"), Reason.UNREADABLE, "no record", 0.0
        headers, message = _message(raw)
        return DeadLetter(
            id=_digest(record),
            tier=self.tier,
            queue=self.queue,
            reason=reason,
            error=error,
            at=at,
            task=headers.get("task"),
            task_id=headers.get("id"),
            raw=raw,
            message=None if reason == Reason.UNREADABLE else message,
        )


@dataclass(frozen=True, slots=True)
class RabbitDeadLetters:
    """A queue's dead letters in RabbitMQ: the messages themselves, with its `x-death` header."""

    connection: Any
    tier: str
    queue: str

    def read(self) -> list[DeadLetter]:
        """Return them, oldest first. Closing the channel gives all back."""
        with closing(self.connection.channel()) as channel:
            return [letter for _, letter in self._letters(channel)]

    def count(self) -> int:
        """Return how many there are; 0 where there is no such queue yet."""
        with closing(self.connection.channel()) as channel:
            try:
                return int(channel.queue_declare(queue=dead_queue(self.queue), passive=True).message_count)
            except self.connection.channel_errors:
                return 0

    def take_out(self, letters: list[DeadLetter], *, replay: bool) -> int:
        """Take letters out, all that are still there; see `take_out` above."""
        wanted, seen, taken = {letter.id for letter in letters}, set[str](), 0
        give_up_at = time.monotonic() + GIVEN_BACK_SECONDS
        with closing(self.connection.channel()) as channel:
            while not wanted <= seen and time.monotonic() < give_up_at:
                for message, letter in self._letters(channel):
                    if letter.id in wanted:
                        seen.add(letter.id)
                        self._take(channel, message, letter, replay=replay)
                        taken += 1
                if not wanted <= seen:
                    time.sleep(POLL_SECONDS)
        return taken

    def _take(self, channel: Any, message: Any, letter: DeadLetter, *, replay: bool) -> None:
        if replay and letter.message is not None:
            for name in DELIVERY_HEADERS:
                message.properties.get("application_headers", {}).pop(name, None)
            channel.basic_publish(message, exchange=self.queue, routing_key=self.queue)
        channel.basic_ack(message.delivery_tag)

    def _letters(self, channel: Any) -> Iterator[tuple[Any, DeadLetter]]:
        for _ in range(self.count()):
            message = channel.basic_get(dead_queue(self.queue), no_ack=False)
            if message is None:
                return
            headers = message.headers or {}
            death = (headers.get("x-death") or [{}])[0]
            at = death.get("time")
            raw = message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8", "replace")
            yield (
                message,
                DeadLetter(
                    id=_digest(json.dumps([headers.get("id"), raw, str(at)]).encode()),
                    tier=self.tier,
                    queue=self.queue,
                    reason=Reason.DELIVERY_LIMIT if death.get("reason") == "delivery_limit" else Reason.REJECTED,
                    error="",
                    at=at.timestamp() if isinstance(at, datetime) else 0.0,
                    task=headers.get("task"),
                    task_id=headers.get("id"),
                    raw=raw,
                    message=raw if headers.get("task") else None,
                ),
            )


def _message(raw: str) -> tuple[dict[str, Any], str | None]:
    """Return a message's headers and its text without the marks of past deliveries; ({}, None) if unreadable."""
    try:
        envelope = json.loads(raw)
        headers = envelope["headers"]
        kept = {name: value for name, value in headers.items() if name not in DELIVERY_HEADERS}
        envelope["properties"]["delivery_info"].pop("redelivered", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}, None
    return headers, json.dumps(envelope | {"headers": kept})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
