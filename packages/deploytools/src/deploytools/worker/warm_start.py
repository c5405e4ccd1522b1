"""Let a worker take its first message when its processes are warm."""

import logging
import time
from typing import Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.exceptions import ImproperlyConfigured
from celery.worker import state
from celery.worker.components import Pool

from deploytools.errors import SettingError
from deploytools.worker import first_runs, warming
from deploytools.worker.consumed import consumed_tiers
from deploytools.worker.warm_pool import TICK_SECONDS, WarmPool

logger = logging.getLogger(__name__)


class WarmStart(bootsteps.StartStopStep):
    """Preloads modules, and starts the consumer only when the pool is warm."""

    requires = (Pool,)

    def create(self, worker: Any) -> None:
        """Import what the worker's tiers preload, before anything is forked; choose the pool and its warm-ups."""
        tiers = consumed_tiers(worker.app)
        try:
            warming.check_tiers(worker.app.fleet)
            warming.preload(tiers)
        except SettingError as error:
            raise ImproperlyConfigured(str(error)) from None
        warming.select([tier.name for tier in tiers])
        if isinstance(worker.pool, TaskPool):
            worker.pool.Pool = WarmPool

    def start(self, worker: Any) -> None:
        """Wait for the processes; pools without any run the warm-ups here."""
        pool = worker.pool._pool
        if isinstance(pool, WarmPool):
            pool.wait_until_warm(worker.hub)
        elif not isinstance(worker.pool, TaskPool):
            run_here()

    def info(self, worker: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what `inspect stats` shows: warm processes, failures, and how long first and later runs take."""
        pool = worker.pool._pool
        warmth = {"warm": pool.warm, "failing": pool.starts.failing} if isinstance(pool, WarmPool) else {}
        return {"warm_up": warmth, "first_runs": first_runs.summary()}


def run_here() -> None:
    """Run the warm-ups in this process, again after a growing delay until none raises. No time limit ends them."""
    tries = 0
    for each in warming.selected():
        while error := warming.error_of(each):
            tries += 1
            delay_seconds = warming.retry_delay_seconds(tries)
            logger.error("warm-up %s raised %s: it runs again in %.1f s", each.name, error, delay_seconds)
            _pause(delay_seconds)


def _pause(seconds: float) -> None:
    over_at = time.monotonic() + seconds
    while time.monotonic() < over_at:
        state.maybe_shutdown()
        time.sleep(TICK_SECONDS)
