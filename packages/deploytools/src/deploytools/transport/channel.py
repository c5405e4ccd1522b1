"""Take messages without a moment in which only this process knows of them.

    WAIT   BLMOVE queue -> stage   the server moves a message as soon as there is one
    TAKE   EVAL                    from stage or queue to `unacked`, with a lease

Both go out in one write on kombu's BRPOP connection; only the take's reply counts. While there are messages only the
take is sent, with the acknowledgements of the last ones in front of it. The stage is fungible: what a dead worker left
there is what the next take of anybody finds first.
"""

import os
from contextlib import suppress
from itertools import count
from queue import Empty
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import RedisError

from deploytools.transport.lease import LeaseKeeper
from deploytools.transport.qos import PendingPublish, QoS, is_stopping
from deploytools.transport.scripts import ACK, PUT_ONCE, TAKE

STAGE_SUFFIX = ".stage"
# The header with a `ConditionalPublish`: publish, and note it, in one step; it stays behind.
ONCE = "x-once"
# A worker of several queues cannot wait for all of them at once without the server popping one: it looks this often.
POLL_SECONDS = 0.1
# A full Redis refuses BLMOVE at once: for so long a worker looks now and then instead.
REFUSED_SECONDS = 10.0
# A queue that is bound beside another to the same direct exchange and key gets messages this much later.
BINDINGS_SECONDS = 5.0
TRANSIENT = 1  # AMQP's delivery mode of what need not survive a restart of the broker


class Properties(msgspec.Struct):
    """What kombu's Redis transport demands of a message's properties."""

    delivery_tag: str
    delivery_info: msgspec.Raw
    delivery_mode: int = TRANSIENT


class Message(msgspec.Struct, rename="kebab"):
    """A message with a JSON body, as kombu's Redis transport writes it."""

    body: str
    properties: Properties
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    headers: dict[str, str] = {}


class ConditionalPublish(NamedTuple):
    """A message is published only if a hash's field has one value, and gives it another, in the same step."""

    key: str
    field: str
    before: str
    after: str


class Channel(redis.Channel):
    """kombu's channel with another way to take, acknowledge and give back."""

    QoS = QoS

    lease_seconds = 30.0
    delivery_limit = 5
    from_transport_options = (*redis.Channel.from_transport_options, "lease_seconds", "delivery_limit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sync: Any = None
        self._parameters: dict[str, Any] | None = None
        self._numbers = count()
        self._needs_no_ack: set[str] = set()
        self._keeper: LeaseKeeper | None = None
        self._expected: list[str] = []  # replies that are to come on the BRPOP connection
        self._asked: list[str] = []  # the queues of the take that is out
        self._acking: list[str] = []  # the tags it acknowledges
        self._posting: list[PendingPublish] = []  # what it publishes in front of them
        self._nothing_waits = False
        self._refused_until = 0.0  # monotonic seconds
        self._routes: dict[tuple[str, str], tuple[list[str], float]] = {}
        self._addresses: dict[str, tuple[str, msgspec.Raw]] = {}  # queue → its list, and the JSON text that names it
        super().__init__(*args, **kwargs)
        self.tag_prefix = f"{self.connection._new_tag_prefix()}."

    @property
    def lease_score_offset_seconds(self) -> float:
        """By how much scores lie in the past, so that any sweeper, stock ones too, sees a lease run out in time."""
        return float(self.visibility_timeout) - self.lease_seconds

    def prefixed(self, key: str) -> str:
        """Return a key as Redis knows it."""
        return f"{self.global_keyprefix}{key}"

    def command(self, *words: Any) -> Any:
        """Send a command whose keys are prefixed already, and wait for its answer.

        As redis-py does, retries included, but for what it notes of each command: that is 5 % of a publish.
        """
        pool = self.sync_client.connection_pool
        connection = pool.get_connection()

        def ask() -> Any:
            connection.send_command(*words)
            return connection.read_response()

        try:
            return connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
        finally:
            pool.release(connection)

    def evaluate(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script, and wait for its answer."""
        return self.command("EVAL", script, len(keys), *map(self.prefixed, keys), *arguments)

    @property
    def sync_client(self) -> Any:
        """A client for commands whose answer is waited for; kept, because making one costs more than a command.

        It works on a closed channel too: a task may outlive its connection, and is acknowledged all the same.
        """
        if self._sync is None or self._sync.connection_pool is not self._pool:
            self._sync = super()._create_client(False)
        return self._sync

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume; from the first queue whose messages are acknowledged, keep leases."""
        (self._needs_no_ack.add if no_ack else self._needs_no_ack.discard)(queue)
        if not no_ack and self._keeper is None:
            self._connparams()  # of a closed channel nobody knows them any more, and a late acknowledgement needs them
            self._keeper = LeaseKeeper(self)
            self._keeper.start()
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> None:
        super()._basic_cancel(consumer_tag)
        if not self.active_queues:  # acks that wait for the next take: there is none
            self._give_back_taken()  # not when this worker's tasks have ended: another worker may be idle
            with suppress(RedisError, OSError):
                self.qos.flush()

    def close(self) -> None:
        """Close; a take that is out is read, and what it brought is given back."""
        self._give_back_taken()
        self._asked = []  # what a take brought and nobody read is nobody's: its lease ends
        super().close()
        if not self.qos.has_pending_acks:
            self._disconnect_pools()

    def _give_back_taken(self) -> None:
        if self._in_poll and self._expected:
            with suppress(Empty, RedisError, OSError):
                self.qos.requeue(self._read_replies()[0], counted=False, front=True)
            self._in_poll = None
            self.client.connection.disconnect()  # the hub may have heard already that there is something to read

    def _create_client(self, asynchronous: bool = False) -> Any:
        return super()._create_client(True) if asynchronous else self.sync_client

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if asynchronous:
            parameters: dict[str, Any] = super()._connparams(asynchronous=True)
            return parameters
        if self._parameters is None:
            self._parameters = super()._connparams(asynchronous=False)
        return dict(self._parameters)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        # kombu asks Redis for the bindings at every publish: half of its time.
        key = (exchange, routing_key)
        found, until = self._routes.get(key, (None, 0.0))
        if found is None or monotonic() > until:
            found = list(super()._lookup(exchange, routing_key, default))
            if exchange and self.deadletter_queue not in found and self.typeof(exchange).type == "direct":
                self._routes[key] = found, monotonic() + BINDINGS_SECONDS
        return found

    def put_once(self, once: ConditionalPublish, key: str = "", text: str = "") -> None:
        """Put a message into a list, or with no text only note it, unless somebody else was first."""
        self.evaluate(PUT_ONCE, [once.key, key], [once.field, once.before, once.after, text])

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        headers = message.get("headers") or {}
        once = headers.get(ONCE)
        if once is not None:  # the caller's headers stay as they are: a publish that failed is tried again with them
            message = {**message, "headers": {name: value for name, value in headers.items() if name != ONCE}}
        if once is None and (kwargs.get("_publish_batch") or queue in self._expires):
            super()._put(queue, message, **kwargs)
            return
        key, text = self._q_for_pri(queue, self._get_message_priority(message, reverse=False)), dumps(message)
        if once is None:
            self.command("LPUSH", self.prefixed(key), text)
        else:
            self.put_once(ConditionalPublish(*once), key, text)

    def _size(self, queue: str) -> int:
        # Without MULTI, which Redis refuses when it is over its memory limit: no worker could start. What lies in a
        # stage waits too: its worker may have died.
        with self.sync_client.pipeline(transaction=False) as pipe:
            for key in (self._q_for_pri(queue, priority) for priority in self.priority_steps):
                pipe.llen(key)
                pipe.llen(f"{key}{STAGE_SUFFIX}")
            return sum(pipe.execute())

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if self._needs_no_ack.issuperset(queues):
            self._expected = []
            super()._brpop_start(timeout)
            return
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, monotonic()
        places = [(queue, self._q_for_pri(queue, step)) for step in self.priority_steps for queue in queues]
        commands = [*self._acks(), *self._wait(places, timeout), self._take(places)]
        self._expected = [str(command[0]) for command in commands]
        connection.send_packed_command(connection.pack_commands(commands))

    def post(self, queue: str, body: bytes) -> None:
        """Publish a JSON text to a queue in front of the next acknowledgements, without a round trip of its own."""
        key, delivery_info = self._addresses.get(queue) or self._addresses.setdefault(queue, self._address(queue))
        properties = Properties(delivery_tag=self._next_delivery_tag(), delivery_info=delivery_info)
        message = Message(body=body.decode(), properties=properties)
        self.qos.posts.append(PendingPublish(key, msgspec.json.encode(message)))

    def _address(self, queue: str) -> tuple[str, msgspec.Raw]:
        delivery_info = {"exchange": "", "routing_key": queue}
        return self._q_for_pri(queue, 0), msgspec.Raw(msgspec.json.encode(delivery_info))

    def _next_delivery_tag(self) -> str:
        # kombu's is a UUID each time. Not of the form of what is taken, and another in a fork of this process.
        return f"{os.getpid()}-{self.tag_prefix}{next(self._numbers)}"

    def _acks(self) -> list[tuple[Any, ...]]:
        tags, posts = self._acking, self._posting = self.qos.pop_acks(), self.qos.pop_posts()
        if not (tags or posts):
            return []
        keys = [*self.qos.keys, *(post.queue for post in posts)]
        return [("EVAL", ACK, len(keys), *map(self.prefixed, keys), *(post.message for post in posts), *tags)]

    def _wait(self, places: list[tuple[str, str]], timeout: float | None) -> list[tuple[Any, ...]]:
        if not self._nothing_waits:
            return []
        seconds = self.brpop_timeout if timeout is None else timeout
        if len(places) == 1 and monotonic() > self._refused_until:
            key = self.prefixed(places[0][1])
            return [("BLMOVE", key, f"{key}{STAGE_SUFFIX}", "RIGHT", "LEFT", seconds)]
        return [("BLPOP", self.prefixed(f"{self.unacked_key}.never"), min(seconds, POLL_SECONDS))]

    def _take(self, places: list[tuple[str, str]]) -> tuple[Any, ...]:
        keys = [self.unacked_key, self.unacked_index_key]
        arguments: list[Any] = [f"{self.tag_prefix}{next(self._numbers)}", self.lease_score_offset_seconds]
        self._asked = [arguments[0]]
        for queue, key in places:
            name = "" if queue in self._needs_no_ack else dumps(queue)
            keys += [f"{key}{STAGE_SUFFIX}", key]
            arguments += [name, name]
            self._asked += [queue, queue]
        return ("EVAL", TAKE, len(keys), *map(self.prefixed, keys), *arguments)

    def _brpop_read(self, **options: Any) -> bool:
        if not self._expected:
            return bool(super()._brpop_read(**options))
        try:
            return self._deliver_taken(*self._read_replies())
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _read_replies(self) -> tuple[str, str, bytes]:
        """Read all replies that are due; return tag, queue and raw message of what was taken, or raise Empty."""
        expected, self._expected = self._expected, []
        taken: Any = None
        try:
            for command in expected:
                try:
                    taken = self.client.parse_response(self.client.connection, command)
                except self.ResponseError:
                    # BLMOVE is refused when Redis is full; the take is not, and finds what is there.
                    taken = None
                    if command == "EVAL":
                        raise
                    self._refused_until = monotonic() + REFUSED_SECONDS
        except (RedisError, OSError):
            self.client.connection.disconnect()  # answers may be left on it
            raise
        self.qos.confirm(self._acking, self._posting)
        self._nothing_waits = not taken
        if not taken:
            raise Empty
        number, raw = taken
        return self._asked[0], self._asked[int(number)], raw

    def _deliver_taken(self, tag: str, queue: str, raw: bytes) -> bool:
        # Cancelled while the take was out, or nothing will be started any more: nobody's failure. Else the first one
        # after a SIGTERM would be held until this worker's last task has ended.
        if queue not in self._active_queues or is_stopping():
            self.qos.requeue(tag, counted=False, front=True)
            return True
        self._queue_cycle.rotate(queue)
        try:
            payload = loads(bytes_to_str(raw))
            payload["properties"]["delivery_tag"] = tag
            self.connection._deliver(payload, queue)
        except (RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 — a message that cannot be handled may stop nobody
            self.qos.dead_letter(tag, queue, raw, error)
        return True
