"""Pool processes that are not warm yet: what each is doing, and when those that failed may be replaced."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from deploytools.worker.warming import retry_delay_seconds

# What a process does before its first warm-up: Celery's own part, and the receivers of worker_process_init.
INITIALISATION = "initialisation"


@dataclass(kw_only=True, slots=True)
class Start:
    """A process that starts: what it is doing, and the number of that step."""

    process: Any
    doing: str = INITIALISATION
    step: int = 0


@dataclass(kw_only=True, slots=True)
class Starts:
    """All processes of a pool that start, by pid.

    `failures` counts processes that did not become warm, by what they did. `failing` says why the last one did not,
    until one does. Processes that started together and fail together lengthen the delay once.
    """

    cold: dict[int, Start] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    failing: str | None = None
    retry_at: float = 0.0  # seconds of a monotonic clock; no process is started before
    _tries: int = 0

    def begin(self, process: Any) -> None:
        """Note a new process."""
        self.cold[process.pid] = Start(process=process)

    def enter(self, pid: int, warm_up: str) -> Start | None:
        """Note that a process runs a warm-up; return its start, None of a process that is not known."""
        start = self.cold.get(pid)
        if start is not None:
            start.doing, start.step = f"warm-up {warm_up}", start.step + 1
        return start

    def is_still_at(self, pid: int, step: int) -> bool:
        """Say whether a process is at that step of its start."""
        start = self.cold.get(pid)
        return start is not None and start.step == step and not start.process._controlled_termination

    def succeed(self, pid: int) -> bool:
        """Note that a process is warm; return False for one that was stopped meanwhile."""
        start = self.cold.pop(pid, None)
        if start is None or start.process._controlled_termination:
            return False
        self.failing, self._tries = None, 0
        return True

    def fail(self, start: Start, why: str, *, now: float) -> float:
        """Note that a process does not become warm; return how many seconds to wait before it is replaced."""
        start.process._controlled_termination = True  # billiard logs nothing of its end
        if now >= self.retry_at:
            self._tries += 1
            self.retry_at = now + retry_delay_seconds(self._tries)
        self.failures[start.doing] += 1
        self.failing = f"{start.doing} {why}"
        return self.retry_at - now

    def forget_ended(self, living: Collection[int]) -> list[Start]:
        """Forget processes that are gone; return those that ended although they were neither stopped nor failed."""
        ended = [self.cold.pop(pid) for pid in self.cold.keys() - set(living)]
        return [start for start in ended if not start.process._controlled_termination]
