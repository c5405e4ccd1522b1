"""What waits in the broker, as Prometheus metrics: read when they are asked for, by one process of the fleet, beat."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from deploytools.broker.queues import count_unacked, read_queues
from deploytools.fleet import Fleet
from deploytools.transport.dead import dead_queue

logger = logging.getLogger(__name__)


class BrokerCollector(Collector):
    """Gauges of all queues, from whoever leads; a standby says nothing, so that nothing is counted twice."""

    def __init__(self, app: Celery, fleet: Fleet, is_leader: Callable[[], bool]) -> None:
        self._app, self._fleet, self._is_leader = app, fleet, is_leader

    def collect(self) -> Iterator[Metric]:
        """Ask the broker: a handful of commands."""
        up = GaugeMetricFamily("celery_broker_up", "Whether the broker answered.")
        if self._is_leader():
            try:
                yield from list(self._read())
                up.add_metric([], 1)
            except (OperationalError, RedisError, OSError) as error:
                logger.warning("metrics: the broker does not answer: %s", error)
                up.add_metric([], 0)
        yield up

    def _read(self) -> Iterator[Metric]:
        tiers = {tier.queue: tier.name for tier in self._fleet}
        states = read_queues(self._app, [*tiers, *map(dead_queue, tiers)])
        depth = GaugeMetricFamily("celery_queue_depth", "Messages that wait.", labels=["tier", "queue"])
        oldest = GaugeMetricFamily(
            "celery_queue_oldest_seconds", "Age of the message that is next to be taken.", labels=["tier", "queue"]
        )
        dead = GaugeMetricFamily("celery_dead_letters", "Messages nobody can run.", labels=["tier", "queue"])
        for queue, tier in tiers.items():
            state = states[queue]
            depth.add_metric([tier, queue], state.depth)
            dead.add_metric([tier, queue], states[dead_queue(queue)].depth)
            if state.depth == 0 or state.oldest_seconds is not None:
                oldest.add_metric([tier, queue], state.oldest_seconds or 0.0)
        yield from (depth, oldest, dead)
        unacked = count_unacked(self._app)
        if unacked is not None:
            yield GaugeMetricFamily("celery_queue_unacked", "Messages taken and not yet acknowledged.", value=unacked)
            yield from self._read_server()

    def _read_server(self) -> Iterator[Metric]:
        with self._app.connection_for_read() as connection:
            client: Any = connection.default_channel.client  # type: ignore[attr-defined]
            try:
                info = client.info()
            except RedisError:  # an account with the least rights need not be let see this
                return
        yield GaugeMetricFamily("celery_broker_memory_bytes", "Memory in use.", value=info["used_memory"])
        yield GaugeMetricFamily(
            "celery_broker_memory_max_bytes", "Memory it may use; 0: all there is.", value=info.get("maxmemory", 0)
        )
        refused = sum(int(info.get(f"acl_access_denied_{why}", 0)) for why in ("auth", "cmd", "key", "channel"))
        yield CounterMetricFamily("celery_broker_refusals", "Logins and commands that it refused.", value=refused)


class BeatCollector(Collector):
    """What a beat did: whether it leads, its ticks by entry, and when it looked last."""

    def __init__(self) -> None:
        self.ticks: dict[str, int] = {}
        self.is_leader = False
        self.looked_at = self.turned_at = time.monotonic()

    def note_turn(self) -> None:
        """Note that it works, whatever the broker says."""
        self.turned_at = time.monotonic()

    def note_look(self, *, is_leader: bool) -> None:
        """Note that the schedule was looked at."""
        self.is_leader, self.looked_at = is_leader, time.monotonic()
        self.note_turn()

    def note_tick(self, entry: str) -> None:
        """Note that a task was sent."""
        self.ticks[entry] = self.ticks.get(entry, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; another thread may call."""
        yield GaugeMetricFamily("celery_beat_leader", "Whether this beat sends.", value=int(self.is_leader))
        yield GaugeMetricFamily(
            "celery_beat_idle_seconds",
            "How long ago it looked at its schedule.",
            value=time.monotonic() - self.looked_at,
        )
        ticks = CounterMetricFamily("celery_beat_ticks", "Tasks that were sent when due.", labels=["entry"])
        for entry, count in dict(self.ticks).items():
            ticks.add_metric([entry], count)
        yield ticks
