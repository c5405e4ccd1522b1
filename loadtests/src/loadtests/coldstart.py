"""Queue wait of the highest tier while processes are new: `python -m loadtests.coldstart [--rounds 3] [--rate 20]`.

The application's own tasks of that tier, all kinds mixed, their arguments made before. They are sent from the moment
that the workers of all tiers say that they are ready. The fleet starts anew for each row:

cold start  Poisson arrivals at `--rate` a second: the first 100 tasks against the next 1,000
growth      bursts of 100 tasks, each when the last one is done: the first burst meets the smallest pool, which grows to
            its maximum, against the next ten, which meet the grown pool
recycling   1,000 tasks at `--rate` a second while each process is replaced after 50 tasks, against the 1,000 of the
            cold start; on both sides 100 tasks come before

The values are p99 queue waits, from when the schedule wanted a task sent to its start. Exit code 1: a ratio is above 3.
A round takes three minutes on two cores.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import msgspec

from deploytools.fleet import Tier
from deploytools.load.profile import Bursts, Stream
from deploytools.load.samples import Sample
from deploytools.testing.processes import Running
from deploytools.testing.waiting import wait_until
from loadtests.bench import Bench, p99_wait_ms, temporary_bench
from loadtests.report import Comparison, benchmark_options, print_comparisons, take_turns

FIRST, NEXT = 100, 1000
BURST = Bursts(size=FIRST, every_seconds=60)
RECYCLED_AFTER_TASKS = 50
BAR = 3.0


@dataclass(frozen=True, slots=True)
class Waits:
    """P99 queue waits in milliseconds: of the first tasks, and of the next ones."""

    first: float
    next: float


@dataclass(frozen=True, kw_only=True)
class ColdFleet:
    """Starts all workers anew for each measure. `steady` is the load of most of them."""

    bench: Bench
    steady: Stream

    def measure_start(self) -> Waits:
        """Send a steady load."""
        return self._measure_steady(self.bench.high)

    def measure_recycling(self) -> Waits:
        """Send a steady load to processes that are replaced often."""
        return self._measure_steady(msgspec.structs.replace(self.bench.high, max_tasks_per_child=RECYCLED_AFTER_TASKS))

    def measure_growth(self) -> Waits:
        """Send bursts to the smallest pool; raise StillWaitingError if it does not grow to its maximum."""
        scale, tasks = self.bench.high.autoscale, self.bench.own_tasks(FIRST + NEXT)
        smallest = msgspec.structs.replace(self.bench.high, concurrency=scale.min)
        with self._running(smallest) as (high, *_):
            samples = self.bench.send(tasks, BURST, FIRST)
            wait_until(lambda: len(high.children()) >= scale.max, f"{scale.max} processes")
            for _ in range(NEXT // FIRST):
                samples += self.bench.send(tasks, BURST, FIRST)
        return waits_of(samples)

    def _measure_steady(self, high: Tier) -> Waits:
        tasks = self.bench.own_tasks(FIRST + NEXT)
        with self._running(high):
            return waits_of(self.bench.send(tasks, self.steady, FIRST + NEXT))

    def _running(self, high: Tier) -> AbstractContextManager[list[Running]]:
        """Run a worker of each tier, that of the highest first and as given."""
        return self.bench.workers({tier.name: self.bench.command(tier) for tier in (high, *self.bench.lower)})


def waits_of(samples: Sequence[Sample]) -> Waits:
    """Return the waits of samples in the order they were sent."""
    return Waits(*(p99_wait_ms(part) for part in (samples[:FIRST], samples[FIRST:])))


def compare(rounds: int, rate: float) -> list[Comparison]:
    """Measure each row once a round."""
    with temporary_bench("coldstart") as bench:
        fleet, scale = ColdFleet(bench=bench, steady=Stream(per_second=rate)), bench.high.autoscale
        takes: dict[str, Callable[[], Waits]] = {
            "start": fleet.measure_start,
            "growth": fleet.measure_growth,
            "recycling": fleet.measure_recycling,
        }
        waits = take_turns(takes, rounds, "waits")
    first = {name: [each.first for each in measured] for name, measured in waits.items()}
    after = {name: [each.next for each in measured] for name, measured in waits.items()}
    return [
        Comparison(name="cold start", ours=first["start"], baseline=after["start"], bar=BAR, digits=0),
        Comparison(
            name=f"growth {scale.min} to {scale.max}", ours=first["growth"], baseline=after["growth"], bar=BAR, digits=0
        ),
        Comparison(name="recycling", ours=after["recycling"], baseline=after["start"], bar=BAR, digits=0),
    ]


def main() -> int:
    """Measure, print, and say by the exit code whether every bar is met."""
    parser = benchmark_options("coldstart", "Measure waits while processes are new.", turns="rounds", default=3)
    parser.add_argument("--rate", type=float, default=20.0, metavar="N", help="tasks a second of the steady load")
    options = parser.parse_args()
    title = f"p99 queue wait of the highest tier, ms: median (min-max) of {options.rounds} rounds"
    comparisons = compare(options.rounds, options.rate)
    return print_comparisons(title, comparisons, as_json=options.json, sides=("new", "warm"))


if __name__ == "__main__":
    sys.exit(main())
