"""A pool whose processes are given tasks only when they are warm, and are replaced before they leave.

Celery's pool gives a process tasks from its UP message on. Here the process runs its warm-ups before it sends that, and
says meanwhile which one it is at, so that the main process can end one that takes too long.

A process that has nearly run its maximum of tasks gets a successor. When that is warm, the old one is given nothing
more, and ends with its last task. Where warm-ups are registered, the old one goes on until then, beyond its maximum;
without any, the maximum is exact, as in Celery.
"""

import logging
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]
from billiard.pool import EX_OK, EX_RECYCLE, RUN
from celery.concurrency import asynpool
from celery.worker import state

from deploytools.worker import warming
from deploytools.worker.prefork import FastReapPool
from deploytools.worker.starts import Start, Starts

logger = logging.getLogger(__name__)

WARM_UP = 16  # a message from a process; the others are billiard's (0 to 4) and asynpool's (15)
# Celery does not look at the processes it starts with. A fork takes 0.1 s, and longer where others start as well.
INITIALISATION_SECONDS = 30.0
# How soon a worker that waits for its processes notices that it is asked to stop.
TICK_SECONDS = 0.2


class WarmProcess(asynpool.Worker):
    """A process that runs its warm-ups before it says that it is up."""

    outq: Any
    maxtasks: int | None
    _do_exit: Any

    def on_loop_start(self, pid: int) -> None:
        """Run them in turn; end where one fails."""
        for each in warming.selected():
            self.outq.put((WARM_UP, (pid, each.name, each.time_limit_seconds, None)))
            try:
                each.function()
            except BaseException as error:
                if terminate_handler_fired():
                    raise
                self.outq.put((WARM_UP, (pid, each.name, None, warming.describe(error))))
                self._do_exit(pid, EX_RECYCLE)
            self.maxtasks = None  # the main process ends it when its successor is warm
        super().on_loop_start(pid)


class WarmPool(FastReapPool):
    """Celery's pool of processes with warm-ups."""

    Worker = WarmProcess
    # billiard's and Celery's, which have no types
    _processes: int
    _pool: list[Any]
    _all_inqueues: set[int]
    _active_writes: set[int]
    _busy_workers: set[int]
    _fileno_to_inq: dict[int, Any]
    _queues: dict[Any, Any]
    _putlock: Any
    _state: int
    _result_handler: Any
    _proc_alive_timeout: float
    restart_state: Any

    def __init__(self, processes: int, *args: Any, maxtasksperchild: int | None = None, **options: Any) -> None:
        self.starts = Starts()
        self._wanted = processes
        self._max_tasks = maxtasksperchild
        self._tasks_run: Counter[int] = Counter()  # by pid, of processes that are warm
        self._retiring: set[Any] = set()
        self._hub: Any = None
        super().__init__(processes, *args, maxtasksperchild=maxtasksperchild, **options)
        self._result_handler.state_handlers[WARM_UP] = self._on_warm_up
        # Celery kills processes that are not up by then.
        self._proc_alive_timeout += sum(each.time_limit_seconds for each in warming.selected())

    @property
    def warm(self) -> int:
        """How many processes may be given tasks."""
        return len(self._all_inqueues)

    @property
    def is_warm(self) -> bool:
        """Whether the pool has the processes it started with, or all it wants now if that is less.

        While processes fail to become warm it is all it wants.
        """
        return self.warm >= (self._processes if self.starts.failing else min(self._wanted, self._processes))

    def register_with_event_loop(self, hub: Any) -> None:
        """Begin; again after each connection."""
        if self._hub is None:
            for pid, start in self.starts.cold.items():
                hub.call_later(INITIALISATION_SECONDS, self._end_late, pid, start.step, INITIALISATION_SECONDS)
        self._hub = hub
        super().register_with_event_loop(hub)

    def wait_until_warm(self, hub: Any) -> None:
        """Turn the event loop until the pool is warm; raise what ends a worker where one is asked to stop."""
        self.register_with_event_loop(hub)
        ticking = hub.call_repeatedly(TICK_SECONDS, state.maybe_shutdown)  # the loop sleeps until something is due
        loop = hub.create_loop()
        try:
            while not self.is_warm:
                state.maybe_shutdown()
                next(loop)
        except BaseException:  # Celery does not close the pool of a worker that has not started
            self._kill_cold()
            raise
        finally:
            ticking.cancel()

    def did_start_ok(self) -> bool:
        """Say yes: the worker has waited for its processes, and replaced those that did not start."""
        return True

    def close(self) -> None:
        """Stop when all tasks have ended."""
        self._kill_cold()
        super().close()

    def terminate(self) -> None:
        """Stop now."""
        self._kill_cold()
        super().terminate()

    def shrink(self, n: int = 1) -> None:
        """Stop idle processes; those that are missing, because they could not become warm, are missed no more."""
        missing = min(n, max(0, self._processes - len(self._staying())))
        for _ in range(missing):
            self._processes -= 1
            self._putlock.shrink()
        if n > missing:
            super().shrink(n - missing)
        self._retire_surplus()  # what was stopped may have been a successor

    def on_process_alive(self, pid: int) -> None:
        """Give a process tasks from now on, and the one that it succeeds no more."""
        if self.starts.succeed(pid):
            super().on_process_alive(pid)
            self._tasks_run[pid] = 0
            self._retire_surplus()

    def on_job_ready(self, job: Any, i: Any, obj: Any, inqW_fd: int) -> None:  # noqa: N803 — billiard's
        """Note that a process is idle."""
        super().on_job_ready(job, i, obj, inqW_fd)
        process = self._fileno_to_inq.get(inqW_fd)
        if process is None:
            return
        self._tasks_run[process.pid] += 1
        if _is_revoked(process):  # its task was, and has survived the signal
            process._job_terminated = process._controlled_termination = False
        if process in self._retiring:
            process.terminate_controlled()
        elif warming.is_worn(self._tasks_run[process.pid], self._max_tasks):
            self._start_successor()

    def _create_worker_process(self, i: int) -> Any:
        process = super()._create_worker_process(i)  # type: ignore[misc]
        self.starts.begin(process)
        return process

    def _repopulate_pool(self, exitcodes: list[int]) -> None:
        """Replace processes that have ended; a failed one only when its delay is over."""
        self._forget_ended()
        if monotonic() < self.starts.retry_at:
            return
        for number in range(self._processes - len(self._staying())):
            if self._state != RUN:
                return
            if number >= len(exitcodes) or exitcodes[number] not in (EX_OK, EX_RECYCLE):
                self.restart_state.step()
            self._add_process()

    def _add_process(self) -> None:
        if None not in self._queues.values():
            self._queues[self.create_process_queues()] = None
        taken = {each.index for each in self._pool}
        self._create_worker_process(next(index for index in count() if index not in taken))

    def _iterinactive(self) -> Iterator[Any]:
        """Yield those that a shrinking pool stops first: idle ones that stay, the cold before the warm."""
        idle = [each for each in super()._iterinactive() if self._stays(each)]  # type: ignore[misc]
        return iter(sorted(idle, key=lambda each: each.pid not in self.starts.cold))

    def _on_warm_up(self, pid: int, name: str, time_limit_seconds: float | None, error: str | None) -> None:
        """Hear that a process runs a warm-up, or that this has raised an error."""
        if error is not None:
            if pid in self.starts.cold:
                self._fail(self.starts.cold[pid], f"raised {error}")
        elif start := self.starts.enter(pid, name):
            self._hub.call_later(time_limit_seconds, self._end_late, pid, start.step, time_limit_seconds)

    def _end_late(self, pid: int, step: int, time_limit_seconds: float) -> None:
        if self.starts.is_still_at(pid, step):
            self._fail(self.starts.cold[pid], f"exceeded its time limit of {time_limit_seconds:g} s")
            os.kill(pid, signal.SIGKILL)

    def _fail(self, start: Start, why: str) -> None:
        delay_seconds = self.starts.fail(start, why, now=monotonic())
        self._hub.call_later(delay_seconds, self.maintain_pool)
        logger.error(
            "%s in pool process %s: it is replaced in %.1f s", self.starts.failing, start.process.pid, delay_seconds
        )

    def _forget_ended(self) -> None:
        living = {each.pid for each in self._pool}
        for start in self.starts.forget_ended(living):
            self._fail(start, f"ended with {start.process.exitcode}")
        for pid in self._tasks_run.keys() - living:
            del self._tasks_run[pid]
        self._retiring.intersection_update(self._pool)

    def _stays(self, process: Any) -> bool:
        """Say whether the pool counts on a process. One whose task was revoked with a signal may survive that."""
        is_stopped = process._controlled_termination and not _is_revoked(process)
        return process not in self._retiring and not is_stopped

    def _staying(self) -> list[Any]:
        return [each for each in self._pool if self._stays(each)]

    def _start_successor(self) -> None:
        """Start one process more; for a quarter of the pool at a time, for a start is work for a busy host."""
        staying = self._staying()
        successors = len(staying) - self._processes
        worn = sum(warming.is_worn(self._tasks_run[each.pid], self._max_tasks) for each in staying)
        may_start = self._state == RUN and monotonic() >= self.starts.retry_at
        if may_start and 0 <= successors < min(worn, max(1, self._processes // 4)):
            self._add_process()

    def _retire_surplus(self) -> None:
        """Give the most worn process no more tasks where there are more warm ones than wanted."""
        warm = [each for each in self._staying() if each.pid in self._tasks_run]
        if len(warm) <= self._processes:
            return
        process = max(warm, key=lambda each: self._tasks_run[each.pid])
        self._retiring.add(process)
        self._all_inqueues.discard(process.inqW_fd)
        if process.inqW_fd not in self._active_writes:
            self._hub.remove_writer(process.inqW_fd)
        if process.inqW_fd not in self._busy_workers:
            process.terminate_controlled()

    def _kill_cold(self) -> None:
        """Kill processes that are not warm: they have no task to finish, and a warm-up may take long."""
        for start in self.starts.cold.values():
            start.process._controlled_termination = True
            with suppress(ProcessLookupError):
                os.kill(start.process.pid, signal.SIGKILL)


def _is_revoked(process: Any) -> bool:
    return bool(getattr(process, "_job_terminated", False))
