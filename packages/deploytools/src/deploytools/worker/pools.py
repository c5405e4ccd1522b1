"""Refuse pools that would not keep a tier's promise."""

from typing import Any

from celery import bootsteps
from celery.exceptions import ImproperlyConfigured
from celery.worker.components import Pool

# kombu waits for messages of these without an event loop: with as many tasks in hand as there is credit for, it sleeps
# two seconds although they end meanwhile (kombu 5.7; measured: two tasks a second a slot).
GREENLETS = frozenset({"celery.concurrency.gevent", "celery.concurrency.eventlet"})


class RefuseGreenlets(bootsteps.Step):
    """End a worker that was asked for a pool of greenlets, with one line that says what to use."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        if worker.pool_cls.__module__ in GREENLETS:
            raise ImproperlyConfigured(
                f"--pool: {worker.pool_cls.__module__} takes new messages every two seconds only when it is busy: "
                "use --pool=threads for tasks that wait, or the declared processes"
            )
