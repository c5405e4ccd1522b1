"""Celery's autoscaler, ours, and a pool that is always at its maximum: `python -m loadtests.autoscaling [--pairs 5]`.

All while the lower tiers of the fleet are saturated with the application's own tasks:

burst    200 tasks of 20 ms at once on an idle worker of the highest tier: wait p99 and the time until all are done
steady   Poisson arrivals of the same tasks that keep one process busy on average: wait p99
memory   PSS of the worker before, idle

The sides take turns, and the order of the turns rotates. Waits are publish → start, told by the probe of each task.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event

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
from deploytools.load.ledger import Ledger
from deploytools.load.offering import Offering, listen
from deploytools.load.workload import Offer, load_source
from deploytools.settings import current_project, environment_with, use_environment
from deploytools.testing.processes import Running, running
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE
from loadtests.guide import guide_command

BURST, SERVICE_SECONDS = 200, 0.02
STEADY_PER_SECOND, STEADY_SECONDS = 1 / SERVICE_SECONDS, 10.0
SETTLE_SECONDS = 1.5  # the saturated tiers get the CPUs back after a start
REPORTS = "loadtests.autoscaling"
MEBIBYTE = 1024 * 1024
MEASURES = {"burst wait p99, s": 3, "burst all done, s": 3, "steady wait p99, s": 3, "idle PSS, MiB": 0}


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

    def sides(self) -> Mapping[str, tuple[str, ...]]:
        """Return what is compared: name → command line of a worker of the highest tier."""
        largest = self.high.autoscale.max
        fixed = msgspec.structs.replace(
            self.high, concurrency=largest, autoscale=msgspec.structs.replace(self.high.autoscale, min=largest)
        )
        return {
            "stock": guide_command(self.high),
            "ours": self._ours(self.high),
            "fixed at max": self._ours(fixed),
        }

    def measure(self, argv: tuple[str, ...]) -> dict[str, float]:
        """Start a worker, measure it, stop it."""
        with self._worker(argv, "high") as worker:
            time.sleep(SETTLE_SECONDS)
            memory = sum(process.memory_full_info().pss for process in [psutil.Process(worker.pid), *worker.children()])
            burst, burst_seconds = self._collect(_offer_burst)
            time.sleep(SETTLE_SECONDS)
            steady, _ = self._collect(_offer_steadily)
            worker.stop()
        numbers = (_p99(burst, self.high), burst_seconds, _p99(steady, self.high), memory / MEBIBYTE)
        return dict(zip(MEASURES, numbers, strict=True))

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

    def _collect(self, offer: Callable[[Offering], None]) -> tuple[Ledger, float]:
        ledger, heard, listening = Ledger(), Event(), Event()
        serve = Offer(task=SERVE, make_arguments=lambda _: (SERVICE_SECONDS,), queue=self.high.queue)
        offering = Offering(
            app=self.app, tier=self.high, offers=(serve,), ledger=ledger, probe_queue=REPORTS, random=Random(1)
        )
        with ThreadPoolExecutor() as threads:
            threads.submit(listen, self.app, REPORTS, ledger, stop=heard, ready=listening)
            try:
                listening.wait()
                started_at = time.monotonic()
                offer(offering)
                wait_until(lambda: _all_done(ledger), "all tasks to be done", deadline_seconds=60)
                return ledger, time.monotonic() - started_at
            finally:
                heard.set()

    def _ours(self, tier: Tier) -> tuple[str, ...]:
        return worker_command(self.fleet, tier, log_level="info", node="bench").argv

    @contextmanager
    def _worker(self, argv: tuple[str, ...], name: str) -> Iterator[Running]:
        with running(argv, log_path=self.folder / f"{name}.log", env=environment_with()) as worker:
            worker.wait_for_log(" ready.", deadline_seconds=60)
            yield worker


def _all_done(ledger: Ledger) -> bool:
    missing = ledger.outstanding()
    assert not missing, f"{missing} not done"  # noqa: S101 — read by wait_until
    return True


def _offer_burst(offering: Offering) -> None:
    for _ in range(BURST):
        offering.publish_one()


def _offer_steadily(offering: Offering) -> None:
    stop = Event()
    with ThreadPoolExecutor() as threads:
        threads.submit(offering.at_random, per_second=STEADY_PER_SECOND, stop=stop)
        stop.wait(STEADY_SECONDS)
        stop.set()


def fill_lower_tiers() -> None:
    """Keep the lower tiers full with the application's own tasks until this process is ended."""
    project = current_project()
    fleet = project.fleet()
    bench, ledger, never = Bench(app=load_app(project, fleet), fleet=fleet, folder=project.state), Ledger(), Event()
    workload, reports = load_source(fleet).prepare(), f"{REPORTS}.lower"
    with ThreadPoolExecutor() as threads:
        threads.submit(listen, bench.app, reports, ledger, stop=never, ready=Event())
        for tier in bench.lower:
            offering = Offering(
                app=bench.app,
                tier=tier,
                offers=workload.of_tier(fleet, tier),
                ledger=ledger,
                probe_queue=reports,
                random=Random(0),
            )
            threads.submit(offering.saturate, outstanding=2 * tier.autoscale.max, stop=never)


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


def compare(pairs: int) -> dict[str, list[dict[str, float]]]:
    """Return side → its measures, one a turn."""
    with bench() as prepared, Progress(console=Console(stderr=True)) as bar:
        sides = prepared.sides()
        row = bar.add_task("measuring", total=pairs * len(sides))
        results: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for turn in range(pairs):
            names = list(sides)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                results[name].append(prepared.measure(sides[name]))
                bar.advance(row)
        return results


def table(results: Mapping[str, list[dict[str, float]]]) -> Table:
    """Return medians and ranges, and the ratios of the medians."""
    rows = Table(title="Autoscaling: median (min-max)", title_justify="left")
    for column in ("", *results, "ours / stock", "ours / fixed"):
        rows.add_column(column, no_wrap=True, justify="left" if not column else "right")
    for measure, digits in MEASURES.items():
        values = {side: [turn[measure] for turn in turns] for side, turns in results.items()}
        spans = [f"{median(v):.{digits}f} ({min(v):.{digits}f}-{max(v):.{digits}f})" for v in values.values()]
        ours = median(values["ours"])
        ratios = [f"{ours / median(values[side]):.2f}" for side in ("stock", "fixed at max")]
        rows.add_row(measure, *spans, *ratios)
    return rows


def _p99(ledger: Ledger, tier: Tier) -> float:
    return ledger.result(tier).wait_seconds["p99"] or 0.0


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
