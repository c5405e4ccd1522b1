"""Tell the first run of a task in a pool process from later ones: it pays for what the process has not done yet.

Noted in the main process of a worker, and, where a pool process reports by itself, in that one.
"""

from dataclasses import asdict, dataclass, field

# So many processes are remembered, the youngest; their numbers come again only after many more.
MAX_PROCESSES = 1000


@dataclass(slots=True)
class Runs:
    """How many runs, and how long they took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a run."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class TaskRuns:
    """The runs of one task: the first in each process, and the later ones."""

    first: Runs = field(default_factory=Runs)
    later: Runs = field(default_factory=Runs)


_tasks_of: dict[int, set[str]] = {}  # pid → tasks that have started in it
_runs: dict[str, TaskRuns] = {}


def note_start(task: str, pid: int) -> bool:
    """Note that a task starts in a process; say whether it is its first run there."""
    tasks = _tasks_of.setdefault(pid, set())
    if task in tasks:
        return False
    tasks.add(task)
    if len(_tasks_of) > MAX_PROCESSES:
        del _tasks_of[next(iter(_tasks_of))]
    return True


def note_end(task: str, seconds: float, *, is_first: bool) -> None:
    """Note how long a run took."""
    runs = _runs.setdefault(task, TaskRuns())
    (runs.first if is_first else runs.later).add(seconds)


def summary() -> dict[str, dict[str, dict[str, float]]]:
    """Return the runs by task as plain data: {task: {"first": {"count", "seconds"}, "later": {…}}}."""
    return {task: asdict(runs) for task, runs in _runs.items()}
