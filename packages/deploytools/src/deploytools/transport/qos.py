"""Which messages this worker holds: acknowledging them, giving them back, and counting how often they came."""

import logging
import sys
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import RedisError

from deploytools.transport.dead import Reason, dead_letter, dead_queue
from deploytools.transport.scripts import ACK, MOVE

logger = logging.getLogger(__name__)

# How often a message was given back after its worker died or refused it. It travels in the message.
REDELIVERIES = "x-redeliveries"


class PendingPublish(NamedTuple):
    """A message on its way to a queue's list."""

    queue: str
    message: bytes


class QoS(redis.QoS):
    """Holds what the channel took. Leases are renewed by `deploytools.transport.lease`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.acks: deque[str] = deque()  # to go out with the next take
        self.unconfirmed: set[str] = set()  # acks that are out: repeated if their connection is lost, which is harmless
        self.posts: deque[PendingPublish] = deque()  # to be published in front of the acks
        self.unconfirmed_posts: list[PendingPublish] = []  # repeated as well: whoever reads them has to bear that
        self.reasons: dict[str, tuple[Reason, str]] = {}  # tag → why it is about to be rejected; see worker.rejection

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message. The take has registered it in Redis already; what came another way is registered now."""
        if delivery_tag.startswith(self.channel.tag_prefix):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def can_consume(self) -> bool:
        """Say whether there is credit; the poller asks before each take, so acks that would not go out go now."""
        can: bool = super().can_consume()
        if self.acks and not can:
            self.flush()
        return can

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge: with the next take if there will be one at once, else now."""
        self.acks.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if self.channel._in_poll or self.channel.closed or not self.channel.active_queues:
            self.flush()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back to the end of its queue, counted; or put it to the dead letters, as RabbitMQ would.

        Celery rejects without requeue what it cannot read, tasks it does not know, and what a task rejects itself. It
        does so once: if Redis is away then, the message is let go all the same, and comes back when its lease is over.
        """
        try:
            if requeue:
                self.requeue(delivery_tag, counted=True)
            else:
                found = self.channel.command("HGET", self.channel.prefixed(self.unacked_key), delivery_tag)
                queue, raw = _split(found or b"")
                reason, error = self.reasons.pop(delivery_tag, (Reason.REJECTED, "by the task itself"))
                self._move(delivery_tag, dead_queue(queue), dead_letter(queue, raw, reason, error))
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def flush(self) -> None:
        """Acknowledge what is collected, and again what was lost on its way."""
        posts = self.pop_posts()
        if self.channel.closed:  # a take that was out with some of them will not be answered any more
            posts = list(self.unconfirmed_posts)
        tags = self.pop_acks()
        if tags or posts:
            keys = [*self.keys, *(post.queue for post in posts)]
            self.channel.evaluate(ACK, keys, [*(post.message for post in posts), *tags])
            self.confirm(tags, posts)

    def pop_acks(self) -> list[str]:
        """Take the collected acks out; return all that are not confirmed."""
        self.unconfirmed.update(_pop_all(self.acks))
        return list(self.unconfirmed)

    def pop_posts(self) -> list["PendingPublish"]:
        """Take out what is to be published, until it is confirmed."""
        posts = _pop_all(self.posts)
        self.unconfirmed_posts.extend(posts)
        return posts

    @property
    def has_pending_acks(self) -> bool:
        """Say whether anything is still to be acknowledged."""
        self._flush()  # kombu forgets what was acknowledged when the next message comes: after a close none does
        return bool(self._delivered or self.acks or self.unconfirmed or self.posts or self.unconfirmed_posts)

    def confirm(self, tags: list[str], posts: list["PendingPublish"]) -> None:
        """Forget what Redis has answered."""
        self.unconfirmed.difference_update(tags)
        if posts:
            self.unconfirmed_posts = [post for post in self.unconfirmed_posts if post not in posts]

    @property
    def keys(self) -> list[str]:
        """The hash of messages and the index of leases."""
        return [self.unacked_key, self.unacked_index_key]

    def restore_unacked(self, _client: Any = None) -> None:
        """Give everything back at close, in its old order and uncounted: a rolling deploy is nobody's failure.

        Tasks that outlive a lost connection are kept: the lease keeper goes on renewing them, and their late
        acknowledgement works. What cannot be given back now, comes back when its lease is over.
        """
        kept = self._running()
        held = [tag for tag in list(self._delivered) if tag not in kept]  # the lease keeper changes it meanwhile
        try:
            self.flush()
            for tag in reversed(held):
                self.requeue(tag, counted=False, front=True)
        except (RedisError, OSError) as error:
            logger.warning("%s messages could not be given back (%s): their leases will end", len(held), error)
        for tag in held:
            self._delivered.pop(tag, None)

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: the lease keeper sweeps."""

    def requeue(
        self, tag: str, *, counted: bool, front: bool = False, visibility_timeout_seconds: float | None = None
    ) -> None:
        """Move a message from `unacked` to its queue; to its dead letters if it came too often or cannot be read.

        `overdue` (the visibility timeout in seconds): only if its lease is over at the time of the move.
        """
        found = self.channel.command("HGET", self.channel.prefixed(self.unacked_key), tag)
        if found is None:
            self._move(tag, f"{self.unacked_key}.gone", "", visibility_timeout_seconds=visibility_timeout_seconds)
            return
        try:
            payload, exchange, routing_key = loads(bytes_to_str(found))
            queues = [routing_key] if not exchange else self.channel._lookup(exchange, routing_key)
            headers = payload.setdefault("headers", {})
            redeliveries = int(headers.get(REDELIVERIES, 0)) + counted
            if counted:
                headers[REDELIVERIES] = redeliveries
                headers["redelivered"] = True
                payload["properties"]["delivery_info"]["redelivered"] = True
            text, queue = dumps(payload), queues[0]
            key = self.channel._q_for_pri(queue, self.channel._get_message_priority(payload, reverse=False))
        except Exception as error:  # noqa: BLE001 — whatever is wrong with it, it may stop nobody
            queue, raw = _split(found)
            self._move(
                tag,
                dead_queue(queue),
                dead_letter(queue, raw, Reason.UNREADABLE, repr(error)),
                visibility_timeout_seconds=visibility_timeout_seconds,
            )
            return
        if counted and redeliveries >= self.channel.delivery_limit:
            why = f"given back {redeliveries} times"
            letter = dead_letter(queue, text, Reason.DELIVERY_LIMIT, why)
            self._move(tag, dead_queue(queue), letter, visibility_timeout_seconds=visibility_timeout_seconds)
        else:
            self._move(tag, key, text, front=front, visibility_timeout_seconds=visibility_timeout_seconds)

    def dead_letter(self, tag: str, queue: str, raw: bytes | str, error: BaseException) -> None:
        """Move a message that cannot be decoded or dispatched to the dead letters."""
        self._move(tag, dead_queue(queue), dead_letter(queue, raw, Reason.UNREADABLE, repr(error)))
        self._delivered.pop(tag, None)

    def _running(self) -> set[str]:
        """Return the tags of this channel's tasks that go on although the connection is closed."""
        state = sys.modules.get("celery.worker.state")
        if state is None or is_stopping():
            return set()
        messages = [request.message for request in tuple(state.active_requests)]
        return {message.delivery_tag for message in messages if message.channel is self.channel}

    def _move(
        self, tag: str, key: str, text: str, *, front: bool = False, visibility_timeout_seconds: float | None = None
    ) -> None:
        condition = "" if visibility_timeout_seconds is None else visibility_timeout_seconds
        self.channel.evaluate(MOVE, [*self.keys, key], [tag, condition, "R" if front else "L", text])


def is_stopping() -> bool:
    """Say whether this process is a worker that stops: Celery notes an exit code then, and 0 is one."""
    state = sys.modules.get("celery.worker.state")
    return state is not None and any(
        code is not None and code is not False for code in (state.should_stop, state.should_terminate)
    )


def _pop_all(queue: deque[Any]) -> list[Any]:
    popped = []
    with suppress(IndexError):  # other threads pop and append as well
        while True:
            popped.append(queue.popleft())
    return popped


def _split(entry: bytes) -> tuple[str, bytes]:
    """Return queue and raw message of an `unacked` entry, whatever the message is: `[raw, "exchange", "queue"]`."""
    head, found, queue = entry[1:].rpartition(b', "')
    if not found:
        return "unknown", entry
    return queue.removesuffix(b'"]').decode("utf-8", "replace"), head.rpartition(b', "')[0]
