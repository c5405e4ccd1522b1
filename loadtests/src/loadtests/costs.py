"""What the launcher costs, against doing without it: `python -m loadtests.costs [--pairs 7] [--json]`.

list    seconds of `invoke --list` here, against a folder whose tasks.py holds one trivial task
launch  seconds from exec to ready of `invoke worker.high`, against plain `celery worker` with the guide's flags
memory  PSS of the idle fleet started by our lines, against plain `celery worker -c N` with the guide's flags

Pairs are interleaved and take turns at going first, so that drift of the machine meets both sides. The first pair warms
caches and is dropped. Bytecode is cached, as in any installation, whatever PYTHONDONTWRITEBYTECODE says here. Exit code
1: a bar is not met. Linux only: PSS (memory, each shared page divided by its sharers) is the kernel's account.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.commands import worker_command
from deploytools.fleet import Fleet, Tier
from deploytools.project import Project
from deploytools.settings import current_project, environment_with

INVOKE, CELERY = (str(Path(sys.executable).with_name(name)) for name in ("invoke", "celery"))
EMPTY_NAMESPACE = "from invoke import Collection, task\n\n@task\ndef one(_):\n    pass\n\nns = Collection(one)\n"
# deployment-guide.md, "Worker Optimization Flags".
FAIR = ("-O", "fair", "--prefetch-multiplier=1", "--max-tasks-per-child=1000", "-l", "info")
GUIDE_FLAGS = (*FAIR, "--without-gossip", "--without-mingle", "--without-heartbeat")
# Of the caller's environment these would measure something else than the fleet file.
OVERRIDES = ("CELERY_", "DEPLOYTOOLS_", "MAX_TASKS_PER_CHILD", "PYTHONDONTWRITEBYTECODE")
DEADLINE_SECONDS = 60.0  # to become ready, to settle, to stop: each takes about a second
SETTLE_INTERVAL_SECONDS, SETTLED_FRACTION = 0.5, 0.01
BYTES_PER_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What is measured of ours and of the baseline; how large ours may be (`bar`) and should be (`aim`) of it."""

    name: str
    unit: str
    bar: float
    aim: float
    ours: Callable[[], float]
    baseline: Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a cost was: one number a pair, in its unit."""

    cost: Cost
    ours: Sequence[float]
    baseline: Sequence[float]

    @property
    def ratio(self) -> float:
        """Our median over the baseline's."""
        return median(self.ours) / median(self.baseline)

    @property
    def met(self) -> bool:
        """Whether the ratio is within its bar."""
        return self.ratio <= self.cost.bar

    def as_json(self) -> dict[str, Any]:
        """Return this cost's part of the JSON object."""
        cost = {key: getattr(self.cost, key) for key in ("name", "unit", "bar", "aim")}
        spans = {"ours": _span(self.ours), "baseline": _span(self.baseline)}
        return cost | spans | {"ratio": self.ratio, "met": self.met}

    def as_row(self) -> list[str]:
        """Return this cost's row of the table."""
        form = "{median:.{digits}f} ({min:.{digits}f}-{max:.{digits}f})"
        digits: Any = 0 if self.cost.unit == "MiB" else 2
        spans = [form.format(**_span(values), digits=digits) for values in (self.ours, self.baseline)]
        met = "[green]yes[/]" if self.met else "[red]no[/]"
        ratios = [f"{ratio:.2f}" for ratio in (self.ratio, self.cost.bar, self.cost.aim)]
        return [f"{self.cost.name}, {self.cost.unit}", *spans, *ratios, met]


def _span(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "values": values}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """Starts what is measured, in an environment of its own, and stops it."""

    project: Project
    fleet: Fleet
    environment: dict[str, str]
    empty_folder: Path

    def costs(self) -> list[Cost]:
        """Return what there is to measure."""
        high = self.fleet.tier("high")
        plain = [*plain_line(self.fleet, high), f"--autoscale={high.autoscale.max},{high.autoscale.min}"]
        lists = [partial(self.list_seconds, folder) for folder in (self.project.root, self.empty_folder)]
        launches = [partial(self.launch_seconds, argv) for argv in ([INVOKE, "worker.high"], plain)]
        fleets = [partial(self.fleet_mebibytes, line) for line in (our_line, plain_line)]
        return [
            Cost("list", "s", 2.0, 2.0, *lists),
            Cost("launch", "s", 1.2, 1.2, *launches),
            Cost("memory", "MiB", 1.0, 0.8, *fleets),
        ]

    def list_seconds(self, folder: Path) -> float:
        """Time `invoke --list` in a folder."""
        started_at = time.perf_counter()
        subprocess.run([INVOKE, "--list"], cwd=folder, env=self.environment, stdout=DEVNULL, check=True)
        return time.perf_counter() - started_at

    def launch_seconds(self, argv: Sequence[str]) -> float:
        """Time a worker from exec until it says that it is ready."""
        started_at = time.perf_counter()
        with self.running([argv]) as (worker,):
            wait_until_ready(worker)
            return time.perf_counter() - started_at

    def fleet_mebibytes(self, line: Callable[[Fleet, Tier], Sequence[str]]) -> float:
        """Return the settled PSS of a fleet that has nothing to do."""
        with self.running([line(self.fleet, tier) for tier in self.fleet]) as workers:
            for worker in workers:
                wait_until_ready(worker)
            return settled_mebibytes(workers, processes=sum(1 + tier.concurrency for tier in self.fleet))

    @contextmanager
    def running(self, lines: Sequence[Sequence[str]]) -> Iterator[list[Popen[str]]]:
        """Run programs, each in a process group of its own; stop them all at the end, however that comes."""
        started: list[Popen[str]] = []
        where: dict[str, Any] = {"cwd": self.project.root, "env": self.environment, "stdin": DEVNULL}
        try:
            for argv in lines:  # one by one, so that an interruption finds those that run already
                started += [Popen(argv, stdout=PIPE, stderr=STDOUT, text=True, start_new_session=True, **where)]
            yield started
        finally:
            stop(started)


def our_line(fleet: Fleet, tier: Tier) -> Sequence[str]:
    """Return what `worker.<tier>` becomes."""
    return worker_command(fleet, tier, log_level="info", node="costs").argv


def plain_line(fleet: Fleet, tier: Tier) -> Sequence[str]:
    """Return the guide's command line of a worker, without autoscale."""
    names = ("-Q", tier.queue, "-n", f"plain-{tier.name}@%h")
    return [CELERY, "-A", fleet.app, "worker", *names, "-c", str(tier.concurrency), *GUIDE_FLAGS]


def wait_until_ready(worker: Popen[str]) -> None:
    """Read a worker's output up to the line that says it is ready; raise RuntimeError where that never comes."""
    watchdog = Timer(DEADLINE_SECONDS, kill_group, [worker])
    watchdog.start()
    lines = []
    try:
        for line in worker.stdout or ():
            lines.append(line)
            if line.rstrip().endswith(" ready."):
                return
    finally:
        watchdog.cancel()
    raise RuntimeError(f"{worker.args!r} was never ready; its last lines:\n{''.join(lines[-10:])}")


def settled_mebibytes(workers: Sequence[Popen[str]], *, processes: int) -> float:
    """Wait until the pools are whole and two readings in a row agree; return the last."""
    give_up_at, before = time.monotonic() + DEADLINE_SECONDS, 0.0
    while time.monotonic() < give_up_at:
        heads = [psutil.Process(worker.pid) for worker in workers]
        tree = [each for head in heads for each in (head, *head.children(recursive=True))]
        now: float = sum(each.memory_full_info().pss for each in tree) / BYTES_PER_MEBIBYTE
        if len(tree) == processes and abs(now - before) < SETTLED_FRACTION * now:
            return now
        before = now
        time.sleep(SETTLE_INTERVAL_SECONDS)
    raise TimeoutError(f"memory has not settled: {len(tree)} of {processes} processes, {now:.0f} MiB")


def stop(started: Sequence[Popen[str]]) -> None:
    """End programs gently, all at once; kill what is left of their process groups at the deadline."""
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.communicate(timeout=DEADLINE_SECONDS)  # until the last of the group closes its output
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.communicate()


def kill_group(process: Popen[str]) -> None:
    """Kill a program and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def bench() -> Iterator[Bench]:
    """Prepare a broker, an empty namespace and an environment in a temporary folder; remove them at the end."""
    with TemporaryDirectory(prefix="costs-") as name:
        folder = Path(name)
        project = replace(current_project(), state=folder / "state")
        (folder / "tasks.py").write_text(EMPTY_NAMESPACE)
        broker = EmbeddedBroker(state=project.state)
        ours = {"CELERY_BROKER_URL": broker.address.url, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        ours |= {"DEPLOYTOOLS_FLEET": str(project.fleet_path), "DEPLOYTOOLS_STATE": str(project.state)}
        kept = {key: value for key, value in environment_with().items() if not key.startswith(OVERRIDES)}
        try:
            broker.start()
            yield Bench(project=project, fleet=project.fleet(), environment=kept | ours, empty_folder=folder)
        finally:
            broker.stop()


def measure(cost: Cost, pairs: int, advance: Callable[[], None]) -> Result:
    """Take a pair to warm up, then those that count; who goes first alternates."""
    values: dict[Callable[[], float], list[float]] = {cost.ours: [], cost.baseline: []}
    for number in range(pairs + 1):
        for take in values if number % 2 else reversed(values):
            values[take].append(take())
            advance()
    return Result(cost=cost, ours=values[cost.ours][1:], baseline=values[cost.baseline][1:])


def measure_all(pairs: int) -> list[Result]:
    """Measure every cost, with a progress bar on stderr."""
    with bench() as place, Progress(console=Console(stderr=True)) as bar:
        costs = place.costs()
        row = bar.add_task("measuring", total=len(costs) * 2 * (pairs + 1))
        return [measure(cost, pairs, lambda: bar.advance(row)) for cost in costs]


def print_table(results: Sequence[Result], pairs: int) -> None:
    """Print medians, ranges and ratios, and whether each bar is met."""
    table = Table(title=f"Costs of the launcher: median (min-max) of {pairs} pairs", title_justify="left")
    for column in ("cost", "ours", "baseline", "ratio", "bar", "aim", "met"):
        table.add_column(column, justify="left" if column == "cost" else "right", no_wrap=True)
    for result in results:
        table.add_row(*result.as_row())
    Console().print(table)
    print("not met: " + (", ".join(result.cost.name for result in results if not result.met) or "none"))


def main() -> int:
    """Measure, print, and say by the exit code whether every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.costs", description="Measure what the launcher costs.")
    parser.add_argument("--pairs", type=int, default=7, choices=range(1, 101), metavar="N", help="pairs that count")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything stopped, nothing left
    results = measure_all(options.pairs)
    met = all(result.met for result in results)
    if options.json:
        print(json.dumps({"pairs": options.pairs, "met": met, "costs": [result.as_json() for result in results]}))
    else:
        print_table(results, options.pairs)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
