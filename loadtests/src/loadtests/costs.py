"""What the launcher and the fleet cost, against plain Celery: `python -m loadtests.costs [--pairs 7] [--json]`.

list        seconds of `invoke --list` here, against a folder whose tasks.py holds one trivial task
launch      seconds from exec to ready of `invoke worker.high`, against the guide's `celery worker` line, which imports
            the libraries of the tier's `preload` too (by `--include`). Ours is ready when its processes are warm
idle        PSS of the fleet's workers and pool processes that have run nothing, against the guide's lines
after work  the same after each process has run 100 tasks (`--tasks`) of each kind of its tier: the application's own

The baseline is `loadtests.plain`, plain Celery with the guide's flags. For memory it imports what the task modules
import, as the guide has it, and each process imports the rest in its first tasks. Pools have the same fixed size on
both sides, and recycle no process. Memory varies little and takes long: `--memory-pairs` (2).

Pairs are interleaved and take turns at going first, so that drift of the machine meets both sides. Of `list` and
`launch` the first pair warms caches and is dropped. Bytecode is cached, as in any installation, whatever
PYTHONDONTWRITEBYTECODE says here. Exit code 1: a bar is missed. Linux only: PSS (memory, each shared page divided by
its sharers) is the kernel's account.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploytools.commands import worker_command
from deploytools.settings import environment_with
from deploytools.testing.processes import EndedError, running
from loadtests.bench import START_DEADLINE_SECONDS, Place, temporary_place
from loadtests.guide import guide_command
from loadtests.memory import fixed_fleet, measure_memory
from loadtests.report import Comparison, benchmark_options, print_comparisons, take_turns

INVOKE = str(Path(sys.executable).with_name("invoke"))
EMPTY_NAMESPACE = "from invoke import Collection, task\n\n@task\ndef one(_):\n    pass\n\nns = Collection(one)\n"
# Of the caller's environment these would measure something else than the fleet file.
OVERRIDES = ("CELERY_", "DEPLOYTOOLS_", "MAX_TASKS_PER_CHILD", "PYTHONDONTWRITEBYTECODE")
READY_POLL_SECONDS = 0.002  # well below what a launch differs by from one time to the next


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """Starts what is measured, in an environment of its own, and stops it."""

    place: Place
    environment: Mapping[str, str]

    def list_seconds(self, folder: Path) -> float:
        """Time `invoke --list` in a folder."""
        argv, started_at = (INVOKE, "--list"), time.perf_counter()
        subprocess.run(argv, cwd=folder, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started_at

    def launch_seconds(self, argv: Sequence[str]) -> float:
        """Time a worker from exec until it says that it is ready."""
        log_path, started_at = self.place.folder / f"{time.monotonic_ns()}.log", time.perf_counter()
        with running(argv, log_path=log_path, cwd=self.place.project.root, env=self.environment) as worker:
            while " ready." not in worker.log():
                if worker.process.poll() is not None or time.perf_counter() - started_at > START_DEADLINE_SECONDS:
                    raise EndedError(f"{argv!r} is not ready; the end of its log:\n{worker.log()[-2000:]}")
                time.sleep(READY_POLL_SECONDS)
            seconds = time.perf_counter() - started_at
            worker.stop()
        return seconds


@contextmanager
def prepared_launcher() -> Iterator[Launcher]:
    """Prepare a broker, an empty namespace and an environment in a temporary folder; remove them at the end."""
    with temporary_place("costs") as place:
        (place.folder / "tasks.py").write_text(EMPTY_NAMESPACE)
        kept = {key: value for key, value in environment_with().items() if not key.startswith(OVERRIDES)}
        bytecode = {"PYTHONPYCACHEPREFIX": str(place.folder / "bytecode")}
        yield Launcher(place=place, environment={**kept, **place.environment, **bytecode})


def compare_times(launcher: Launcher, pairs: int) -> Iterator[Comparison]:
    """Time lists and launches."""
    project, high = launcher.place.project, launcher.place.project.fleet().tier("high")
    folders = {"ours": project.root, "baseline": launcher.place.folder}
    lists = {side: partial(launcher.list_seconds, folder) for side, folder in folders.items()}
    commands = {"ours": (INVOKE, "worker.high"), "baseline": guide_command(high, include=getattr(high, "preload", ()))}
    launches = {side: partial(launcher.launch_seconds, argv) for side, argv in commands.items()}
    for name, bar, takes in (("list, s", 2.0, lists), ("launch, s", 1.2, launches)):
        taken = take_turns(takes, pairs, name, warm_up=True)
        yield Comparison(name=name, ours=taken["ours"], baseline=taken["baseline"], bar=bar)


def compare_memory(launcher: Launcher, pairs: int, tasks: int) -> Iterator[Comparison]:
    """Read the memory of fleets."""
    fleet = fixed_fleet(launcher.place.project.fleet())
    sides = {
        "ours": {tier.name: worker_command(fleet, tier, log_level="info", node="costs").argv for tier in fleet},
        "baseline": {tier.name: guide_command(tier, autoscale=False) for tier in fleet},
    }
    measure = partial(measure_memory, launcher.place, env=launcher.environment, tasks=tasks)
    measure(sides["ours"], tasks=1)  # compiles what tasks import, which would count as memory of the first turn
    taken = take_turns({side: partial(measure, commands) for side, commands in sides.items()}, pairs, "memory")
    for name, field, bar in (("idle, MiB", "idle", 1.0), ("after work, MiB", "after_work", 0.7)):
        ours, baseline = ([getattr(memory, field) for memory in taken[side]] for side in sides)
        yield Comparison(name=name, ours=ours, baseline=baseline, bar=bar, digits=0)


def main() -> int:
    """Measure, print, and say by the exit code whether every bar is met."""
    parser = benchmark_options("costs", "Measure what the launcher and the fleet cost.", default=7)
    parser.add_argument(
        "--memory-pairs", type=int, default=2, choices=range(1, 101), metavar="N", help="pairs of the memory rows"
    )
    parser.add_argument(
        "--tasks", type=int, default=100, choices=range(1, 1001), metavar="N", help="tasks of each kind in each process"
    )
    options = parser.parse_args()
    with prepared_launcher() as launcher:
        comparisons = [
            *compare_times(launcher, options.pairs),
            *compare_memory(launcher, options.memory_pairs, options.tasks),
        ]
    title = f"Costs: median (min-max) of {options.pairs} pairs, memory of {options.memory_pairs}"
    return print_comparisons(title, comparisons, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
