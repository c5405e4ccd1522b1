"""What the launcher costs, against doing without it: `python -m loadtests.costs [--pairs 7] [--json]`.

list    seconds of `invoke --list` here, against a folder whose tasks.py holds one trivial task
launch  seconds from exec to ready of `invoke worker.high`, against the guide's `celery worker` line
memory  PSS of the idle fleet started by our lines, against the guide's lines with as many processes

The baseline is plain Celery: `loadtests.plain` imports what the application's workers import, and installs nothing.
Pairs are interleaved and take turns at going first, so that drift of the machine meets both sides. The first pair warms
caches and is dropped. Bytecode is cached, as in any installation, whatever PYTHONDONTWRITEBYTECODE says here. Exit code
1: a bar is not met. Linux only: PSS (memory, each shared page divided by its sharers) is the kernel's account.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.commands import worker_command
from deploytools.project import Project
from deploytools.settings import current_project, environment_with
from deploytools.testing.processes import EndedError, Running, running
from loadtests.guide import guide_command

INVOKE = str(Path(sys.executable).with_name("invoke"))
EMPTY_NAMESPACE = "from invoke import Collection, task\n\n@task\ndef one(_):\n    pass\n\nns = Collection(one)\n"
# Of the caller's environment these would measure something else than the fleet file.
OVERRIDES = ("CELERY_", "DEPLOYTOOLS_", "MAX_TASKS_PER_CHILD", "PYTHONDONTWRITEBYTECODE")
DEADLINE_SECONDS = 60.0  # to become ready, to settle: each takes about a second
READY_POLL_SECONDS = 0.002  # well below what a launch differs by from one time to the next
SETTLE_INTERVAL_SECONDS, SETTLED_FRACTION = 0.5, 0.01
MEBIBYTE = 1024 * 1024


@dataclass(slots=True)
class Cost:
    """What is measured of ours and of the baseline, once a pair; `bar` is how large ours may be of it."""

    name: str
    bar: float
    takes: Sequence[Callable[[], float]]
    ours: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Our median over the baseline's."""
        return median(self.ours) / median(self.baseline)

    def measure(self, pairs: int, advance: Callable[[], None]) -> None:
        """Take a pair to warm up, then those that count; who goes first alternates."""
        sides = list(zip(self.takes, (self.ours, self.baseline), strict=True))
        for _ in range(pairs + 1):
            for take, values in sides:
                values.append(take())
                advance()
            sides.reverse()
        del self.ours[0], self.baseline[0]

    def as_json(self) -> dict[str, object]:
        """Return this cost's part of the JSON array."""
        return {name: getattr(self, name) for name in ("name", "ours", "baseline", "ratio", "bar")}

    def as_row(self) -> list[str]:
        """Return this cost's row of the table."""
        sides = (self.ours, self.baseline)
        spans = [f"{median(values):.3g} ({min(values):.3g}-{max(values):.3g})" for values in sides]
        met = "[green]yes[/]" if self.ratio <= self.bar else "[red]no[/]"
        return [self.name, *spans, f"{self.ratio:.2f}", f"{self.bar:.1f}", met]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """Starts what is measured, in an environment of its own, and stops it."""

    project: Project
    environment: Mapping[str, str]
    folder: Path

    def costs(self) -> list[Cost]:
        """Return what there is to measure."""
        fleet = self.project.fleet()
        processes = sum(1 + tier.concurrency for tier in fleet)
        folders = (self.project.root, self.folder)
        launches = ((INVOKE, "worker.high"), guide_command(fleet.tier("high")))
        fleets = (
            [worker_command(fleet, tier, log_level="info", node="costs").argv for tier in fleet],
            [guide_command(tier, autoscale=False) for tier in fleet],
        )
        return [
            Cost("list, s", 2.0, [partial(self.list_seconds, folder) for folder in folders]),
            Cost("launch, s", 1.2, [partial(self.launch_seconds, argv) for argv in launches]),
            Cost("memory, MiB", 1.0, [partial(self.mebibytes, lines, processes) for lines in fleets]),
        ]

    def list_seconds(self, folder: Path) -> float:
        """Time `invoke --list` in a folder."""
        argv, started_at = (INVOKE, "--list"), time.perf_counter()
        subprocess.run(argv, cwd=folder, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started_at

    def launch_seconds(self, argv: Sequence[str]) -> float:
        """Time a worker from exec until it says that it is ready."""
        started_at = time.perf_counter()
        with self.ready_worker(argv):
            return time.perf_counter() - started_at

    def mebibytes(self, lines: Sequence[Sequence[str]], processes: int) -> float:
        """Return the settled PSS of workers that have nothing to do."""
        with ExitStack() as stack:
            return settled_mebibytes([stack.enter_context(self.ready_worker(argv)) for argv in lines], processes)

    @contextmanager
    def ready_worker(self, argv: Sequence[str]) -> Iterator[Running]:
        """Run a worker in the project, ready; stop it at the end, or kill it if something went wrong."""
        log_path = self.folder / f"{time.monotonic_ns()}.log"
        with running(argv, log_path=log_path, cwd=self.project.root, env=self.environment) as worker:
            give_up_at = time.monotonic() + DEADLINE_SECONDS
            while " ready." not in worker.log():
                if worker.process.poll() is not None or time.monotonic() > give_up_at:
                    raise EndedError(f"{argv!r} is not ready; the end of its log:\n{worker.log()[-2000:]}")
                time.sleep(READY_POLL_SECONDS)
            yield worker
            worker.stop()


def settled_mebibytes(workers: Sequence[Running], processes: int) -> float:
    """Wait until the pools are whole and two readings in a row agree; return the last."""
    give_up_at, before, now = time.monotonic() + DEADLINE_SECONDS, 0.0, 0.0
    while time.monotonic() < give_up_at:
        tree = [each for worker in workers for each in (psutil.Process(worker.pid), *worker.children())]
        before, now = now, sum(each.memory_full_info().pss for each in tree) / MEBIBYTE
        if len(tree) == processes and abs(now - before) < SETTLED_FRACTION * now:
            return now
        time.sleep(SETTLE_INTERVAL_SECONDS)
    raise TimeoutError(f"memory has not settled: {len(tree)} of {processes} processes, {now:.0f} MiB")


@contextmanager
def bench() -> Iterator[Bench]:
    """Prepare a broker, an empty namespace and an environment in a temporary folder; remove them at the end."""
    with TemporaryDirectory(prefix="costs-") as name:
        folder = Path(name)
        project = replace(current_project(), state=folder / "state")
        (folder / "tasks.py").write_text(EMPTY_NAMESPACE)
        broker = EmbeddedBroker(state=project.state)
        kept = {key: value for key, value in environment_with().items() if not key.startswith(OVERRIDES)}
        ours = {"CELERY_BROKER_URL": broker.address.url, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        ours |= {"DEPLOYTOOLS_FLEET": str(project.fleet_path), "DEPLOYTOOLS_STATE": str(project.state)}
        try:
            broker.start()
            yield Bench(project=project, environment=kept | ours, folder=folder)
        finally:
            broker.stop()


def measured_costs(pairs: int) -> list[Cost]:
    """Measure every cost, with a progress bar on stderr."""
    with bench() as place, Progress(console=Console(stderr=True)) as bar:
        costs = place.costs()
        row = bar.add_task("measuring", total=len(costs) * 2 * (pairs + 1))
        for cost in costs:
            cost.measure(pairs, partial(bar.advance, row))
        return costs


def table(costs: Sequence[Cost], pairs: int) -> Table:
    """Return medians, ranges and ratios, and whether each bar is met."""
    rows = Table(title=f"Costs of the launcher: median (min-max) of {pairs} pairs", title_justify="left")
    for column in ("", "ours", "baseline", "ratio", "bar", "met"):
        rows.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for cost in costs:
        rows.add_row(*cost.as_row())
    return rows


def main() -> int:
    """Measure, print, and say by the exit code whether every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.costs", description="Measure what the launcher costs.")
    parser.add_argument("--pairs", type=int, default=7, choices=range(1, 101), metavar="N", help="pairs that count")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything stopped, nothing left
    costs = measured_costs(options.pairs)
    if options.json:
        print(json.dumps([cost.as_json() for cost in costs]))
    else:
        Console().print(table(costs, options.pairs))
    return 0 if all(cost.ratio <= cost.bar for cost in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
