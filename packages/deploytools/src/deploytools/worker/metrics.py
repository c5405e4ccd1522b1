"""Serve what a worker did, what its pool is like, and its health."""

from collections.abc import Iterator
from typing import Any

from celery import bootsteps
from celery.exceptions import ImproperlyConfigured
from celery.signals import worker_shutdown
from celery.worker import state
from celery.worker.components import Pool
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploytools.errors import SettingError
from deploytools.fleet import Fleet
from deploytools.metrics.counts import Counts
from deploytools.metrics.endpoint import serve
from deploytools.settings import current_project, current_settings
from deploytools.worker.consumed import consumed_tiers
from deploytools.worker.health import Liveness
from deploytools.worker.warm_pool import WarmPool


class MetricsServerStep(bootsteps.Step):
    """Serves a worker's metrics and health. Part of the worker itself: it outlives connections to the broker."""

    requires = (Pool,)

    def create(self, worker: Any) -> None:
        """Listen before anything is forked or taken, so that a port that is taken is found out first."""
        settings = current_settings()
        if settings.metrics_port is None:
            return
        fleet: Fleet = worker.app.fleet
        worker.app.counts = Counts(tier.start_within_seconds for tier in fleet)
        worker.app.pulse = pulse = Liveness(lambda: _is_warm(worker.pool))
        labels = {"tier": ",".join(tier.name for tier in consumed_tiers(worker.app)), "worker": worker.hostname}
        try:
            endpoint = serve(
                [worker.app.counts, Processes(worker, labels["tier"])],
                pulse,
                host=settings.metrics_host,
                port=settings.metrics_port,
                labels=labels,
                state=None if settings.metrics_port else current_project().state,
            )
        except SettingError as error:
            raise ImproperlyConfigured(str(error)) from None

        # Not when this step is stopped: that is before the pool is, which may have tasks to end for a long time.
        worker_shutdown.connect(lambda **_: endpoint.close(), weak=False)


class Processes(Collector):
    """A pool's processes by state."""

    def __init__(self, worker: Any, tier: str) -> None:
        self._worker, self._tier = worker, tier

    def collect(self) -> Iterator[Metric]:
        """Yield busy, idle and cold ones, how many there may be, and those that failed to become warm."""
        pool = getattr(self._worker.pool, "_pool", None)
        size = int(getattr(self._worker.pool, "num_processes", 0) or 0)
        warm = min(pool.warm, size) if isinstance(pool, WarmPool) else size
        busy = min(len(state.active_requests), warm)
        family = GaugeMetricFamily("celery_worker_processes", "Processes of the pool.", labels=["tier", "state"])
        for name, number in {"busy": busy, "idle": warm - busy, "cold": size - warm}.items():
            family.add_metric([self._tier, name], number)
        yield family
        if isinstance(pool, WarmPool):
            yield self._failures(pool)
        scale = self._worker.autoscale
        most = max(scale) if scale else size
        yield GaugeMetricFamily("celery_worker_processes_max", "Processes it may have.", value=most)
        held = GaugeMetricFamily("celery_worker_reserved", "Tasks taken and not yet ended.", labels=["tier"])
        held.add_metric([self._tier], len(state.reserved_requests))
        yield held

    def _failures(self, pool: WarmPool) -> Metric:
        family = CounterMetricFamily(
            "celery_worker_warm_up_failures",
            "Pool processes that ended before they were warm, by what they did.",
            labels=["tier", "warm_up"],
        )
        for name, count in pool.starts.failures.copy().items():
            family.add_metric([self._tier, name], count)
        return family


def _is_warm(pool: Any) -> bool:
    processes = getattr(pool, "_pool", None)
    return not isinstance(processes, WarmPool) or processes.is_warm
