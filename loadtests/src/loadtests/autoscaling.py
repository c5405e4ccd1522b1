"""Celery's autoscaler, ours, and a pool that is always at its maximum: `python -m loadtests.autoscaling [--pairs 5]`.

All while the lower tiers of the fleet are saturated with the application's own tasks:

burst    200 tasks of 20 ms at once on an idle worker of the highest tier: wait p99 and the time until all are done
steady   Poisson arrivals of the same tasks that keep one process busy on average: wait p99
memory   PSS of a worker that has been idle until it had its fewest processes, once

The sides take turns, and the order of the turns rotates. Waits count from when the schedule wanted a task sent to its
start, which its probe tells. All workers are of one session, so that tiers step back for each other as declared.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread

import msgspec
import psutil
from celery import Celery
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploytools.app import load_app
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.commands import worker_command
from deploytools.fleet import Fleet, Tier
from deploytools.load.histogram import histogram, quantile_seconds
from deploytools.load.profile import PROFILES, Bursts, Profile, Shape, Stream
from deploytools.load.samples import Sample
from deploytools.load.session import LoadSession
from deploytools.load.workload import Offer, Workload, load_source
from deploytools.settings import current_project, environment_with, use_environment
from deploytools.testing.processes import Running, running
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE
from loadtests.guide import guide_command

BURST, SERVICE_SECONDS = 200, 0.02
STEADY_PER_SECOND, STEADY_TASKS = 1 / SERVICE_SECONDS, 500
SETTLE_SECONDS = 1.5  # the saturated tiers get the CPUs back after a start
IDLE_DEADLINE_SECONDS = 120.0
MEBIBYTE = 1024 * 1024
MEASURES = {"burst wait p99, s": 3, "burst all done, s": 3, "steady wait p99, s": 3}
IDLE_MEMORY = "idle PSS, MiB"


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What is compared: a worker's command line, and the processes it has when it is idle."""

    argv: tuple[str, ...]
    fewest: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A fleet whose lower tiers are saturated."""

    app: Celery
    fleet: Fleet
    folder: Path

    @property
    def high(self) -> Tier:
        """The tier with the tightest promise."""
        return min(self.fleet, key=lambda tier: tier.start_within_seconds)

    @property
    def lower(self) -> list[Tier]:
        """The other tiers."""
        return [tier for tier in self.fleet if tier != self.high]

    def sides(self) -> Mapping[str, Side]:
        """Return what is compared, by name: workers of the highest tier."""
        least, largest = self.high.autoscale.min, self.high.autoscale.max
        fixed = msgspec.structs.replace(
            self.high, concurrency=largest, autoscale=msgspec.structs.replace(self.high.autoscale, min=largest)
        )
        return {
            "stock": Side(argv=guide_command(self.high), fewest=least),
            "ours": Side(argv=self._ours(self.high), fewest=least),
            "fixed at max": Side(argv=self._ours(fixed), fewest=largest),
        }

    def idle_mebibytes(self, side: Side) -> float:
        """Start a worker, wait until it has its fewest processes, weigh it, stop it."""
        with self._worker(side.argv, "high") as worker:
            time.sleep(SETTLE_SECONDS)
            idle = f"{side.fewest} processes"
            wait_until(lambda: len(worker.children()) == side.fewest, idle, deadline_seconds=IDLE_DEADLINE_SECONDS)
            tree = [psutil.Process(worker.pid), *worker.children()]
            memory = sum(process.memory_full_info().pss for process in tree)
            worker.stop()
        return float(memory / MEBIBYTE)

    def measure(self, side: Side) -> dict[str, float]:
        """Start a worker, measure its waits, stop it."""
        with self._worker(side.argv, "high") as worker:
            time.sleep(SETTLE_SECONDS)
            burst = self._collect(Bursts(size=BURST, every_seconds=60), BURST)
            time.sleep(SETTLE_SECONDS)
            steady = self._collect(Stream(per_second=STEADY_PER_SECOND), STEADY_TASKS)
            worker.stop()
        return dict(zip(MEASURES, (_p99(burst), _seconds(burst), _p99(steady)), strict=True))

    @contextmanager
    def saturated_lower_tiers(self) -> Iterator[None]:
        """Run the other tiers' workers, and keep each full from a process of its own, meanwhile."""
        with ExitStack() as stack:
            for tier in self.lower:
                stack.enter_context(self._worker(self._ours(tier), tier.name))
            filler = get_context("spawn").Process(target=fill_lower_tiers, daemon=True)
            filler.start()
            stack.callback(filler.join)
            stack.callback(filler.terminate)
            yield

    def _collect(self, shape: Shape, count: int) -> list[Sample]:
        session = LoadSession(
            app=self.app,
            fleet=self.fleet,
            profile=Profile(name="bench", tightest=shape, others=shape, seconds=0, drain_seconds=60),
            workload=Workload(
                offers=(Offer(task=SERVE, make_arguments=lambda _: (SERVICE_SECONDS,), queue=self.high.queue),)
            ),
            on_publish=lambda *_: session.stop_sending() if len(session.account.samples) >= count else None,
        )
        session.start()
        session.offer(self.high, seed=1)
        session.drain()
        if missing := session.account.outstanding():
            raise TimeoutError(f"{missing} of {count} tasks were not done: see {self.folder}")
        return list(session.account.samples.values())

    def _ours(self, tier: Tier) -> tuple[str, ...]:
        return worker_command(self.fleet, tier, log_level="info", node="bench").argv

    @contextmanager
    def _worker(self, argv: tuple[str, ...], name: str) -> Iterator[Running]:
        log_path = self.folder / f"{name}.log"
        with running(argv, log_path=log_path, env=environment_with(), own_session=False) as worker:
            worker.wait_for_log(" ready.", deadline_seconds=60)
            yield worker


def fill_lower_tiers() -> None:
    """Keep the lower tiers full with the application's own tasks until this process is ended."""
    project = current_project()
    fleet = project.fleet()
    bench = Bench(app=load_app(project, fleet), fleet=fleet, folder=project.state)
    session = LoadSession(app=bench.app, fleet=fleet, profile=PROFILES["flood"], workload=load_source(fleet).prepare())
    session.start()
    for seed, tier in enumerate(bench.lower):
        Thread(target=session.offer, args=(tier,), kwargs={"seed": seed}).start()


@contextmanager
def bench() -> Iterator[Bench]:
    """Prepare a broker and a saturated fleet in a temporary folder; remove them at the end."""
    with TemporaryDirectory(prefix="autoscaling-") as name:
        project = replace(current_project(), state=Path(name) / "state")
        broker = EmbeddedBroker(state=project.state)
        use_environment(
            CELERY_BROKER_URL=broker.address.url,
            DEPLOYTOOLS_STATE=str(project.state),
            DEPLOYTOOLS_FLEET=str(project.fleet_path),
        )
        fleet = project.fleet()
        try:
            broker.start()
            prepared = Bench(app=load_app(project, fleet), fleet=fleet, folder=Path(name))
            with prepared.saturated_lower_tiers():
                yield prepared
        finally:
            broker.stop()


def compare(pairs: int) -> dict[str, dict[str, list[float]]]:
    """Return side → measure → its values, one a turn."""
    with bench() as prepared, Progress(console=Console(stderr=True)) as bar:
        sides = prepared.sides()
        row = bar.add_task("measuring", total=(pairs + 1) * len(sides))
        results: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in MEASURES} for name in sides}
        for turn in range(pairs):
            names = list(sides)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                for measure, value in prepared.measure(sides[name]).items():
                    results[name][measure].append(value)
                bar.advance(row)
        for name, side in sides.items():
            results[name][IDLE_MEMORY] = [prepared.idle_mebibytes(side)]
            bar.advance(row)
        return results


def table(results: Mapping[str, Mapping[str, list[float]]]) -> Table:
    """Return medians and ranges, and the ratios of the medians."""
    rows = Table(title="Autoscaling: median (min-max)", title_justify="left")
    for column in ("", *results, "ours / stock", "ours / fixed"):
        rows.add_column(column, no_wrap=True, justify="left" if not column else "right")
    for measure, digits in (MEASURES | {IDLE_MEMORY: 0}).items():
        values = {side: measures[measure] for side, measures in results.items()}
        spans = [f"{median(v):.{digits}f} ({min(v):.{digits}f}-{max(v):.{digits}f})" for v in values.values()]
        ours = median(values["ours"])
        ratios = [f"{ours / median(values[side]):.2f}" for side in ("stock", "fixed at max")]
        rows.add_row(measure, *spans, *ratios)
    return rows


def _p99(samples: list[Sample]) -> float:
    return quantile_seconds(histogram(sample.wait_seconds or 0.0 for sample in samples), 99) or 0.0


def _seconds(samples: list[Sample]) -> float:
    ends = [(sample.started_at or 0.0) + (sample.run_seconds or 0.0) for sample in samples]
    return max(ends) - min(sample.intended_at for sample in samples)


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.autoscaling", description="Compare autoscalers.")
    parser.add_argument("--pairs", type=int, default=5, choices=range(1, 101), metavar="N", help="turns of each side")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    results = compare(options.pairs)
    if options.json:
        print(json.dumps(results))
    else:
        Console(width=120).print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
