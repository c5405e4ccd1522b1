"""Count what a worker does, in its main process, and serve the counts with its health."""

import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from billiard.exceptions import Terminated
from celery import bootsteps
from celery.exceptions import Ignore, ImproperlyConfigured, Retry
from celery.worker import request, state
from celery.worker.components import Pool
from celery.worker.consumer.tasks import Tasks
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploytools.errors import SettingError
from deploytools.fleet import Fleet
from deploytools.metrics.counts import Counts, Key
from deploytools.metrics.endpoint import Endpoint, serve
from deploytools.settings import current_project, current_settings
from deploytools.stamps import PUBLISHED_AT, wait_seconds

TICK_SECONDS = 1.0
# A worker that has not looked up from its work for so long while it is connected hangs; the longest thing its main
# process does at once is to fork, 0.1 s.
HUNG_AFTER_SECONDS = 60.0
# A worker that has not looked up for so long does not take messages now.
BEHIND_AFTER_SECONDS = 3.0
NO_TIER = "none"


class Counting(request.Request):
    """Celery's request, which counts what becomes of it."""

    _is_counted = False
    _is_requeued = False

    def count_submission(self) -> None:
        """Count a task that is taken up, unless it was before: retried, or delivered again."""
        counts = _counts(self.app)
        if counts is not None and not self.request_dict.get("retries") and not self.delivery_info.get("redelivered"):
            publisher = str(self.request_dict.get("origin") or "unknown").rpartition("@")[2]
            counts.count_submission(self._key, publisher=publisher)

    def on_accepted(self, pid: Any, time_accepted: Any) -> None:
        """Count the start, and the wait before it."""
        super().on_accepted(pid, time_accepted)
        counts = _counts(self.app)
        if counts is not None:
            headers, started_at = self.request_dict, self.time_start or time.time()
            published_at = headers.get(PUBLISHED_AT) or started_at
            counts.count_start(
                self._key,
                wait_seconds=wait_seconds(published_at=published_at, started_at=started_at, eta=headers.get("eta")),
            )

    def __init_subclass__(cls, **options: Any) -> None:
        """Count in `on_success` too: Celery makes a class for each task that overrides it and does not call ours."""
        super().__init_subclass__(**options)
        if "on_success" in vars(cls):
            cls.on_success = _counting(cls.on_success)  # type: ignore[method-assign]

    def on_end(self, error: BaseException | None, seconds: float) -> None:
        """Count what ran to its end, in an error or well, before it is acknowledged."""
        counts = _counts(self.app)
        if counts is not None:
            counts.count_duration(self._key, seconds)
            if error is None:
                counts.count_success(self._key)
                self._is_counted = True

    def on_retry(self, exc_info: Any) -> None:
        """Count a retry."""
        counts = _counts(self.app)
        if counts is not None and not self._is_counted:
            counts.count_retry(self._key)
            self._is_counted = True
        super().on_retry(exc_info)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Count a failure, unless the task goes back to its queue."""
        result = super().on_failure(exc_info, *args, **options)
        error = exc_info.exception
        self._count_failure(is_final=not isinstance(error, Retry | Ignore | Terminated))
        return result

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Count a task that was killed for its time limit."""
        super().on_timeout(soft, timeout)
        self._count_failure(is_final=not soft)

    def reject(self, requeue: bool = False) -> None:
        """Reject, and remember that the task goes back."""
        self._is_requeued = requeue
        super().reject(requeue=requeue)

    def _count_failure(self, *, is_final: bool) -> None:
        counts = _counts(self.app)
        if counts is not None and is_final and not self._is_requeued and not self._is_counted:
            counts.count_failure(self._key)
            self._is_counted = True

    @cached_property
    def _key(self) -> Key:
        fleet: Fleet | None = getattr(self.app, "fleet", None)
        queue = str(self.delivery_info.get("routing_key"))
        tier = fleet.tier_of_queue(queue) if fleet else None
        return Key(tier.name if tier else NO_TIER, self.name)


def _counting(on_success: Any) -> Any:
    def run(self: Counting, failed__retval__runtime: Any, **options: Any) -> Any:
        failed, result, seconds = failed__retval__runtime
        if seconds is None:  # Celery times only what ended well
            seconds = time.time() - (self.time_start or time.time())
        self.on_end(result.exception if failed else None, seconds)
        return on_success(self, failed__retval__runtime, **options)

    return run


def _counts(app: Any) -> Counts | None:
    return getattr(app, "counts", None)


class Endpoints(bootsteps.StartStopStep):
    """Serves a worker's metrics and health. Part of the worker itself: it outlives connections to the broker."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._endpoint: Endpoint | None = None

    def create(self, worker: Any) -> None:
        """Listen before anything is forked or taken, so that a port that is taken is found out first."""
        settings = current_settings()
        if settings.metrics_port is None:
            return
        fleet: Fleet = worker.app.fleet
        worker.app.counts = Counts(tier.start_within_seconds for tier in fleet)
        worker.app.pulse = pulse = Pulse()
        queues = list(worker.app.amqp.queues.consume_from)
        tiers = [tier.name for tier in map(fleet.tier_of_queue, queues) if tier]
        labels = {"tier": ",".join(tiers), "worker": worker.hostname}
        try:
            self._endpoint = serve(
                [worker.app.counts, Processes(worker, labels["tier"])],
                pulse,
                host=settings.metrics_host,
                port=settings.metrics_port,
                labels=labels,
                state=None if settings.metrics_port else current_project().state,
            )
        except SettingError as error:
            raise ImproperlyConfigured(str(error)) from None

    def stop(self, worker: Any) -> None:
        """Stop listening."""
        del worker
        if self._endpoint:
            self._endpoint.close()
            self._endpoint = None

    def terminate(self, worker: Any) -> None:
        """Stop listening."""
        self.stop(worker)


class Pulse:
    """Whether a worker's event loop turns, and whether it consumes."""

    def __init__(self) -> None:
        self.is_consuming = False
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """Note that the event loop turns."""
        self._beat_at = time.monotonic()

    def is_live(self) -> bool:
        """Say whether it is alive; one that waits for its broker is."""
        return not self.is_consuming or time.monotonic() - self._beat_at < HUNG_AFTER_SECONDS

    def is_ready(self) -> bool:
        """Say whether it takes messages."""
        return self.is_consuming and time.monotonic() - self._beat_at < BEHIND_AFTER_SECONDS


class Beating(bootsteps.StartStopStep):
    """Keeps the pulse, from when messages are consumed until the connection is lost."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def include_if(self, consumer: Any) -> bool:
        """Only where somebody asks for it."""
        return getattr(consumer.app, "pulse", None) is not None

    def start(self, consumer: Any) -> None:
        """Begin."""
        pulse: Pulse = consumer.app.pulse
        pulse.beat()
        pulse.is_consuming = True
        self._timer = consumer.timer.call_repeatedly(TICK_SECONDS, pulse.beat)

    def stop(self, consumer: Any) -> None:
        """End: the connection is lost, or the worker stops."""
        consumer.app.pulse.is_consuming = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def terminate(self, consumer: Any) -> None:
        """End."""
        self.stop(consumer)


class Processes(Collector):
    """A pool's processes by state."""

    def __init__(self, worker: Any, tier: str) -> None:
        self._worker, self._tier = worker, tier

    def collect(self) -> Iterator[Metric]:
        """Yield busy, idle, and how many there may be."""
        size = int(getattr(self._worker.pool, "num_processes", 0) or 0)
        busy = min(len(state.active_requests), size)
        family = GaugeMetricFamily("celery_worker_processes", "Processes of the pool.", labels=["tier", "state"])
        family.add_metric([self._tier, "busy"], busy)
        family.add_metric([self._tier, "idle"], size - busy)
        yield family
        scale = self._worker.autoscale
        most = max(scale) if scale else size
        yield GaugeMetricFamily("celery_worker_processes_max", "Processes it may have.", value=most)
        held = GaugeMetricFamily("celery_worker_reserved", "Tasks taken and not yet ended.", labels=["tier"])
        held.add_metric([self._tier], len(state.reserved_requests))
        yield held
