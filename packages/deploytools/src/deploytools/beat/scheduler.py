"""A scheduler of which any number may run: the leader sends, the others stand by.

What was sent when is kept in Redis, next to the queues. Sending a tick and noting it is one step on the server
(`deploytools.transport`), so a leader may be killed at any moment, or wake up after another took over: no tick is sent
twice, none is forgotten. RedBeat keeps its state there too, but notes a tick before it sends it, and its standbys
rewrite the schedule while another leads.

The schedule itself is the application's `beat_schedule` and nothing else. A standby of an older version that started
before the newest schedule first led does not lead any more.
"""

import hashlib
import logging
import sys
import time
from datetime import datetime, tzinfo
from typing import Any
from uuid import uuid4

from celery import beat
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from deploytools.beat import metrics
from deploytools.transport.channel import ONCE, Channel, ConditionalPublish

logger = logging.getLogger(__name__)

LEADER_KEY = "deploytools.beat.leader"
STATE_KEY = "deploytools.beat"  # a hash: entry → epoch seconds of its last tick; and whose schedule led last
# A dead leader is replaced after this long and one look; each look of the leader extends it.
LEASE_SECONDS = 10.0
POLL_SECONDS = 1.0
# A tick that comes later than this was missed: the policy of the fleet says what becomes of it.
MISSED_AFTER_SECONDS = 2 * POLL_SECONDS

# KEYS leader, state; ARGV our token, lease in ms, fingerprint of our schedule, when we started (epoch seconds).
# Returns 1 if we lead, 0 if another does, -1 if a newer schedule than ours has led.
LEAD = """
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
local led, since = unpack(redis.call('HMGET', KEYS[2], '\\0schedule', '\\0since'))
if led and led ~= ARGV[3] and tonumber(since) > tonumber(ARGV[4]) then return -1 end
if led ~= ARGV[3] then redis.call('HSET', KEYS[2], '\\0schedule', ARGV[3], '\\0since', ARGV[4]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS leader; ARGV our token.
RESIGN = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
# KEYS state; ARGV entry, epoch seconds. Returns when it ticked last.
FIRST_TICK = "redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) return redis.call('HGET', KEYS[1], ARGV[1])"


class Scheduler(beat.Scheduler):
    """Celery's scheduler with its state in Redis and a leader. Needs the hardened transport."""

    max_interval: Any  # whole seconds in Celery's eyes
    data: dict[str, Any]

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        self._token = uuid4().hex
        self._started_at = time.time()
        self._role: int | None = None
        self._missed: str = app.fleet.missed_ticks
        metrics.connect()
        super().__init__(app, *args, **kwargs)
        self.max_interval = POLL_SECONDS
        if not isinstance(self._channel, Channel):
            sys.exit(
                "beat: its state needs a hardened Redis: set CELERY_BEAT_SCHEDULE to a file, or change the transport"
            )

    @property
    def info(self) -> str:
        """Say in beat's banner where its state is."""
        return f"    . state -> the broker, {STATE_KEY}"

    def setup_schedule(self) -> None:
        """Take the schedule from the application's settings."""
        self.install_default_entries(self.data)
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self, *_: Any, **__: Any) -> float:
        """Send what is due if we lead; return seconds until the next look."""
        metrics.collector.note_turn()
        try:
            leads = self._leads()
            metrics.collector.note_look(is_leader=leads)
            if not leads:
                return POLL_SECONDS
            return min((self._try_to_send(entry) for entry in self.schedule.values()), default=POLL_SECONDS)
        except (RedisError, OperationalError, OSError) as error:
            logger.warning("beat: %s: will try again", error)
            return POLL_SECONDS

    def close(self) -> None:
        """Let a standby lead at once."""
        try:
            self._channel.evaluate(RESIGN, [LEADER_KEY], [self._token])
        except (RedisError, OperationalError, OSError) as error:
            logger.warning("beat: could not resign (%s): a standby takes over in %g s", error, LEASE_SECONDS)
        super().close()

    def _leads(self) -> bool:
        schedule = {name: (entry.task, repr(entry.schedule)) for name, entry in self.schedule.items()}
        fingerprint = hashlib.sha256(repr(sorted(schedule.items())).encode()).hexdigest()
        role = int(
            self._channel.evaluate(
                LEAD,
                [LEADER_KEY, STATE_KEY],
                [self._token, int(LEASE_SECONDS * 1000), fingerprint, self._started_at],
            )
        )
        if role != self._role:
            roles = {1: "leads", 0: "stands by", -1: "stands by: a newer schedule than ours has led"}
            logger.info("beat: %s", roles[role])
            self._role = role
        return role == 1

    def _try_to_send(self, entry: Any) -> float:
        """Send an entry's ticks that are due; one that cannot be sent stops no other, and is tried at each look."""
        try:
            return self._send_due(entry)
        except (RedisError, OperationalError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 — its queue, its arguments, its schedule: whatever is wrong
            logger.warning("beat: %s: %s: will try again", entry.name, error)
            return POLL_SECONDS

    def _send_due(self, entry: Any) -> float:
        """Send an entry's ticks that are due; return seconds until it has to be looked at again."""
        known = self._channel.evaluate(FIRST_TICK, [STATE_KEY], [entry.name, repr(time.time())])
        last = known.decode() if isinstance(known, bytes) else str(known)
        while (due := due_at(entry.schedule, float(last), self.app.timezone)) <= (now := time.time()):
            missed = now - due > MISSED_AFTER_SECONDS
            ticked_at = repr(now if missed and self._missed != "all" else due)
            once = ConditionalPublish(key=STATE_KEY, field=entry.name, before=last, after=ticked_at)
            if missed and self._missed == "skip":
                logger.warning("beat: %s was due %.0f s ago: skipped", entry.name, now - due)
                self._channel.put_once(once)
            else:
                self._send(entry, once, due)
            last = ticked_at
        return min(due - now, POLL_SECONDS)

    def _send(self, entry: Any, once: ConditionalPublish, due: float) -> None:
        options = {**entry.options, "headers": {**entry.options.get("headers", {}), ONCE: once, "x_due_at": due}}
        logger.info("beat: sending %s (%s)", entry.name, entry.task)
        self.apply_async(type(entry)(**dict(entry) | {"options": options}), producer=self.producer, advance=False)
        metrics.collector.note_tick(entry.name)

    @property
    def _channel(self) -> Any:
        return self.connection.default_channel


def due_at(schedule: Any, last: float, timezone: tzinfo) -> float:
    """Return when a schedule's next tick after `last` is due; both in epoch seconds.

    Celery's schedules tell how far that is from now. Were the time read twice, ticks would drift by what lies between.
    """
    clock, now = schedule.nowfun, schedule.now()
    schedule.nowfun = lambda: now
    try:
        remaining = schedule.remaining_estimate(datetime.fromtimestamp(last, timezone))
    finally:
        schedule.nowfun = clock
    return float(now.timestamp() + remaining.total_seconds())
