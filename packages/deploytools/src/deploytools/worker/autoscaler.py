"""Size a worker's pool between its bounds, starting at the declared concurrency."""

from typing import Any

from celery import bootsteps
from celery.worker import autoscale
from celery.worker.components import Pool


class StartAtConcurrency(bootsteps.Step):
    """Fork `--concurrency` processes at start. Beside `--autoscale` Celery ignores that number and forks `min`."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        if worker.autoscale:
            worker.min_concurrency = worker.concurrency


class Autoscaler(autoscale.Autoscaler):
    """Celery's autoscaler with the bounds of the command line, whatever the pool started at."""

    def __init__(
        self, pool: Any, max_concurrency: int, min_concurrency: int = 0, worker: Any = None, **rest: Any
    ) -> None:
        if worker is not None and worker.autoscale:
            min_concurrency = min(worker.autoscale)
        super().__init__(pool, max_concurrency, min_concurrency, worker=worker, **rest)
