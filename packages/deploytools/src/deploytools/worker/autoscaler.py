"""Size a worker's pool between its bounds so that its tier's promise is kept.

Celery's own autoscaler looks at what the worker has taken, grows by the whole difference in one go (its event loop
stands still meanwhile), and shrinks by it too. This one starts at the declared concurrency, asks how much work there is
in here and in the broker, decides with `deploytools.scaling`, and moves one process at a time.
"""

from math import inf
from time import monotonic, time
from typing import Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.exceptions import ImproperlyConfigured
from celery.utils.log import get_logger
from celery.worker import autoscale, state
from celery.worker.components import Pool as PoolStep

from deploytools.fleet import Autoscale, Tier
from deploytools.publish_time import PUBLISHED_AT
from deploytools.scaling import AVERAGE_SHARE, Averages, Decision, Demand, Pool, decide, step
from deploytools.transport.qos import is_stopping
from deploytools.worker.consumed import consumed_tiers
from deploytools.worker.depth import DepthReader

logger = get_logger(__name__)

# How often the pool is looked at when no message does it. ETA tasks that become due are noticed this way.
TICK_SECONDS = 0.5
# Between two forks the event loop gets this long for messages and results.
FORK_PAUSE_SECONDS = 0.02
# Averages are not worth updating more often.
OBSERVE_SECONDS = 0.05
# Of a worker whose queues belong to no tier.
DEFAULT_PROMISE_SECONDS = 1.0


class StartAtConcurrency(bootsteps.Step):
    """Fork `--concurrency` processes at start. Beside `--autoscale` Celery ignores that number and forks `min`."""

    requires = (PoolStep,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        if worker.autoscale:
            worker.min_concurrency = min(max(worker.concurrency, min(worker.autoscale)), max(worker.autoscale))


class Autoscaler(autoscale.Autoscaler):
    """Celery's `worker_autoscaler` for tiers. All of it runs on the worker's event loop, and never waits."""

    pool: Any

    def __init__(self, pool: Any, max_concurrency: int, _: int = 0, *, worker: Any, mutex: Any = None) -> None:
        if not isinstance(pool, TaskPool):
            raise ImproperlyConfigured(
                f"--autoscale: {type(pool).__module__} has no processes to start or stop: "
                "leave --autoscale out and give its size by --concurrency"
            )
        # Not the minimum we are given: StartAtConcurrency has put the base in its place.
        least = min(worker.autoscale)
        super().__init__(pool, max_concurrency, least, worker=worker, mutex=mutex, keepalive=TICK_SECONDS)
        self.promise_seconds, self.idle_seconds = _promise(consumed_tiers(worker.app))
        self.decision = Decision(target=worker.min_concurrency, reason="just started")
        self._averages = Averages(average_seconds=AVERAGE_SHARE * self.idle_seconds)
        self._depth = DepthReader(worker.app, worker.app.amqp.queues.consume_from)
        self._last_shrunk_at = self._observed_at = monotonic()
        self._last_wanted_at = inf  # idle time counts from when tasks are consumed, not while processes warm up
        self._finished = self._busy_seconds = 0.0
        self._growing = False

    @property
    def bounds(self) -> Autoscale:
        """The bounds in force; `control autoscale` may have changed them."""
        return Autoscale(min=self.min_concurrency, max=self.max_concurrency, idle_seconds=self.idle_seconds)

    def maybe_scale(self, req: Any = None) -> None:  # noqa: ARG002 — Celery passes the message
        """Look at the pool, and change it by one process at most. Called for each message, and on a timer."""
        if self.pool._pool is None or is_stopping():  # what grew now would have to be waited for
            return
        if len(self.pool._pool._pool) > self.processes:
            self.pool.maintain_pool()  # a process that was stopped takes a second to end, and is then noticed by nobody
        now = monotonic()
        self._observe(now)
        demand = self._demand()
        self.decision = decide(demand, bounds=self.bounds, promise_seconds=self.promise_seconds)
        if self.decision.target >= self.processes or self._last_wanted_at == inf:
            self._last_wanted_at = now
        pool = Pool(
            processes=self.processes,
            last_wanted_at=self._last_wanted_at,
            last_shrunk_at=self._last_shrunk_at,
            settled=len(state.reserved_requests) == demand.busy,
        )
        match step(pool, target=self.decision.target, bounds=self.bounds, now=now):
            case 1:
                self._grow_one()
            case -1:
                self._shrink_one(now)

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002 — Celery's
        """Set new bounds (`control autoscale`); the pool follows, idle processes first, no busy one ever."""
        self.max_concurrency = self.max_concurrency if max is None else max
        self.min_concurrency = self.min_concurrency if min is None else min
        consumer = self.worker.consumer
        # Celery would count from the processes there happen to be.
        prefetch = self.max_concurrency * consumer.prefetch_multiplier
        change = prefetch - consumer.initial_prefetch_count
        consumer.initial_prefetch_count = prefetch
        if change:
            (consumer.qos.increment_eventually if change > 0 else consumer.qos.decrement_eventually)(abs(change))
        self.maybe_scale()
        return self.max_concurrency, self.min_concurrency

    def info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows: bounds, size, and why it has this size."""
        return {
            "max": self.max_concurrency,
            "min": self.min_concurrency,
            "current": self.processes,
            "qty": self.qty,
            "target": self.decision.target,
            "reason": self.decision.reason,
            "promise_seconds": self.promise_seconds,
        }

    def stop(self) -> None:
        """End the depth reader's thread, and our own where the pool has no event loop."""
        self._depth.close()
        if self.is_alive():
            super().stop()

    def _observe(self, now: float) -> None:
        """Update the averages from Celery's own counters."""
        elapsed = now - self._observed_at
        if elapsed < OBSERVE_SECONDS:
            return
        busy = len(state.active_requests)
        finished = state.all_total_count[0] - busy
        self._busy_seconds += busy * elapsed
        self._averages = self._averages.seen(
            busy=busy,
            finished=int(finished - self._finished),
            busy_seconds=self._busy_seconds,
            over_seconds=elapsed,
        )
        if finished > self._finished:
            self._finished, self._busy_seconds = finished, 0.0
        self._observed_at = now

    def _demand(self) -> Demand:
        active = state.active_requests
        waiting = [request for request in list(state.reserved_requests) if request not in active]
        full = len(waiting) + len(active) >= self.max_concurrency
        if full and self.processes < self.max_concurrency:
            self._depth.ask()
        return Demand(
            processes=self.processes,
            busy=len(active),
            backlog=len(waiting) + (self._depth.depth if full else 0),
            oldest_seconds=max((_waited_seconds(request) for request in waiting), default=0.0),
            offered_work=self._averages.offered_work,
            service_seconds=self._averages.service_seconds,
        )

    def _grow_one(self) -> None:
        self.pool.grow(1)
        self.pool.maintain_pool()
        logger.info("%s processes: %s", self.processes, self.decision.reason)
        hub = getattr(self.worker, "hub", None)
        if hub is not None and not self._growing:
            self._growing = True
            hub.call_later(FORK_PAUSE_SECONDS, self._go_on_growing)

    def _go_on_growing(self) -> None:
        self._growing = False
        self.maybe_scale()

    def _shrink_one(self, now: float) -> None:
        try:
            self.pool.shrink(1)
        except ValueError:
            return  # all are busy after all
        self._last_shrunk_at = now
        self.pool.maintain_pool()
        logger.info("%s processes: %s", self.processes, self.decision.reason)


def _promise(tiers: list[Tier]) -> tuple[float, float]:
    """Return promise and idle time of the tightest tier."""
    tightest = min(tiers, key=lambda tier: tier.start_within_seconds, default=None)
    if tightest is None:
        return DEFAULT_PROMISE_SECONDS, Autoscale(min=1, max=1).idle_seconds
    return tightest.start_within_seconds, tightest.autoscale.idle_seconds


def _waited_seconds(request: Any) -> float:
    published_at = request.request_dict.get(PUBLISHED_AT)
    return max(0.0, time() - published_at) if published_at else 0.0
