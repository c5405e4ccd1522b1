"""Celery's autoscaler, ours, and a pool that is always at its maximum: `python -m loadtests.autoscaling [--pairs 5]`.

All while the lower tiers of the fleet are saturated with the application's own tasks:

burst      200 tasks that sleep for 20 ms, at once, on an idle worker of the highest tier: p99 queue wait, and the time
           until all are done
steady     Poisson arrivals of the same tasks that keep one process busy on average: p99 queue wait
own tasks  a burst of 200 of the application's own tasks of that tier, all kinds mixed, their arguments made before
memory     PSS of a worker that has been idle until its pool had shrunk, once

The sides take turns, and another one begins each turn. Each burst meets a worker that has just become ready. A wait
runs from when the schedule wanted a task sent to its start, which the worker reports. All workers are of one session,
so that tiers step back for each other as declared. Exit code 1: a bar is missed.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from deploytools.load.profile import Bursts, Stream
from deploytools.load.samples import Sample
from deploytools.load.workload import TaskTemplate, Workload
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE
from loadtests.bench import Bench, p99_wait_ms, pss_mebibytes, temporary_bench
from loadtests.guide import guide_command
from loadtests.report import Comparison, benchmark_options, print_comparisons, take_turns
from loadtests.saturation import saturated_lower_tiers

SERVICE_SECONDS = 0.02
BURST, BURST_SIZE = Bursts(size=200, every_seconds=60), 200
STEADY, STEADY_TASKS = Stream(per_second=1 / SERVICE_SECONDS), 500
SETTLE_SECONDS = 1.5  # the saturated tiers get the CPUs back after a start
IDLE_DEADLINE_SECONDS = 120.0
STOCK_BAR = 0.5  # of stock's p99 in a burst
IDLE_MEMORY = "idle PSS, MiB"
# measure → bar against stock
MEASURES: Mapping[str, float | None] = {
    "burst p99, ms": STOCK_BAR,
    "burst done, ms": None,
    "steady p99, ms": None,
    "own tasks p99, ms": STOCK_BAR,
    "own tasks done, ms": None,
    IDLE_MEMORY: None,
}


@dataclass(frozen=True, kw_only=True)
class Side:
    """A worker of the highest tier: its command line, and the size of its pool when it is idle."""

    bench: Bench
    argv: tuple[str, ...]
    idle_processes: int

    def measure(self) -> dict[str, float]:
        """Start a worker for each kind of burst, and measure the waits."""
        sleeping = TaskTemplate(task=SERVE, make_arguments=lambda _: (SERVICE_SECONDS,), queue=self.bench.high.queue)
        burst, steady = self._send(Workload(offers=(sleeping,)), STEADY_TASKS)
        own, _ = self._send(self.bench.own_tasks(BURST_SIZE), 0)
        return {
            "burst p99, ms": p99_wait_ms(burst),
            "burst done, ms": _done_ms(burst),
            "steady p99, ms": p99_wait_ms(steady),
            "own tasks p99, ms": p99_wait_ms(own),
            "own tasks done, ms": _done_ms(own),
        }

    def measure_memory(self) -> float:
        """Start a worker, and return its PSS in MiB when its pool has shrunk."""
        with self.bench.workers({"high": self.argv}) as (worker,):
            time.sleep(SETTLE_SECONDS)
            shrunk = f"{self.idle_processes} processes"
            wait_until(
                lambda: len(worker.children()) == self.idle_processes, shrunk, deadline_seconds=IDLE_DEADLINE_SECONDS
            )
            return pss_mebibytes([worker])[0]

    def _send(self, workload: Workload, steady_tasks: int) -> tuple[list[Sample], list[Sample]]:
        """Start a worker; send a burst, and then a steady load of so many tasks."""
        with self.bench.workers({"high": self.argv}):
            time.sleep(SETTLE_SECONDS)
            burst = self.bench.send(workload, BURST, BURST_SIZE)
            time.sleep(SETTLE_SECONDS)
            return burst, self.bench.send(workload, STEADY, steady_tasks) if steady_tasks else []


def prepare_sides(bench: Bench) -> dict[str, Side]:
    """Return what is compared, by name."""
    high, scale = bench.high, bench.high.autoscale
    fixed = msgspec.structs.replace(
        high, concurrency=scale.max, autoscale=msgspec.structs.replace(scale, min=scale.max)
    )
    return {
        "stock": Side(bench=bench, argv=guide_command(high), idle_processes=scale.min),
        "ours": Side(bench=bench, argv=bench.command(high), idle_processes=scale.min),
        "fixed": Side(bench=bench, argv=bench.command(fixed), idle_processes=scale.max),
    }


def compare(pairs: int) -> list[Comparison]:
    """Measure all sides; return ours against each other one."""
    with temporary_bench("autoscaling") as bench, saturated_lower_tiers(bench):
        sides = prepare_sides(bench)
        turns = take_turns({name: side.measure for name, side in sides.items()}, pairs, "waits")
        memory = take_turns({name: side.measure_memory for name, side in sides.items()}, 1, "memory")

    def values(side: str, measure: str) -> list[float]:
        return memory[side] if measure == IDLE_MEMORY else [turn[measure] for turn in turns[side]]

    return [
        Comparison(
            name=f"{measure} / {other}",
            ours=values("ours", measure),
            baseline=values(other, measure),
            bar=bar if other == "stock" else None,
            digits=0,
        )
        for measure, bar in MEASURES.items()
        for other in ("stock", "fixed")
    ]


def _done_ms(samples: Sequence[Sample]) -> float:
    ends = [(sample.started_at or 0.0) + (sample.run_seconds or 0.0) for sample in samples]
    return (max(ends) - min(sample.intended_at for sample in samples)) * 1000


def main() -> int:
    """Compare, print, and say by the exit code whether every bar is met."""
    options = benchmark_options("autoscaling", "Compare autoscalers.").parse_args()
    title = f"Autoscaling: median (min-max) of {options.pairs} turns"
    return print_comparisons(title, compare(options.pairs), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
