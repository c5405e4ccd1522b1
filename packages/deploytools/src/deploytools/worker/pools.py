"""Refuse pools that would not keep a tier's promise, and have processes replaced as soon as they are gone."""

from typing import Any

from celery import bootsteps
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.exceptions import ImproperlyConfigured
from celery.worker.components import Pool

# kombu waits for messages of these without an event loop: with as many tasks in hand as there is credit for, it sleeps
# two seconds although they end meanwhile (kombu 5.7; measured: two tasks a second a slot).
GREENLETS = frozenset({"celery.concurrency.gevent", "celery.concurrency.eventlet"})
# How soon a pool looks again for a process that has closed its files and cannot be reaped yet; then after twice that.
REAP_SECONDS = 0.002
# Celery's own pool looks this often.
MAINTENANCE_SECONDS = 5.0


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


class PromptPool(AsynPool):
    """Replaces a process that ends.

    Celery's pool (5.7) is woken when the process's files are closed, which is a moment before it can be reaped. In 3 of
    120 times, on two cores, it came too early. It looked again at its next maintenance, up to five seconds later; till
    then the pool was a process short, and a task that had been handed to it waited.
    """

    def _event_process_exit(self, hub: Any, process: Any, again_seconds: float = REAP_SECONDS) -> None:
        super()._event_process_exit(hub, process)  # type: ignore[misc]
        still_there = process in self._pool  # type: ignore[attr-defined]
        if still_there and again_seconds < MAINTENANCE_SECONDS:
            hub.call_later(again_seconds, self._event_process_exit, hub, process, 2 * again_seconds)


class ReplaceAtOnce(bootsteps.Step):
    """Let a worker of processes have a PromptPool."""

    requires = (Pool,)

    def create(self, worker: Any) -> None:
        """Choose it, before the pool starts."""
        if isinstance(worker.pool, TaskPool):
            worker.pool.Pool = PromptPool
