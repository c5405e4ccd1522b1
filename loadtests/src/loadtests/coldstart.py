"""Queue wait of the highest tier while processes are new: `python -m loadtests.coldstart [--rounds 3] [--rate 20]`.

The application's own tasks of that tier, all kinds mixed, sent by schedule (Poisson at `--rate` a second, or bursts)
from the moment that the workers of all tiers say that they are ready. The fleet starts anew for each row:

cold start  the first 100 tasks against the next 1,000
growth      bursts of 100 tasks: the first one meets the smallest pool, which grows to its maximum, against the next
            ten, which meet the grown pool
recycling   1,000 tasks while each process is replaced after 50 tasks, against the 1,000 of the cold start; on both
            sides 100 tasks come before

The values are p99 queue waits in milliseconds. Exit code 1: a ratio is above 3. A round takes about four minutes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from deploytools.fleet import Tier
from deploytools.load.profile import Bursts, Shape, Stream
from deploytools.testing.processes import Running
from deploytools.testing.waiting import wait_until
from loadtests.bench import Bench, p99_wait_seconds, temporary_bench
from loadtests.report import Comparison, benchmark_options, print_comparisons, take_turns

FIRST, NEXT = 100, 1000
BAR = 3.0
BURSTS = Bursts(size=FIRST, every_seconds=5.0)  # longer than a burst takes on two cores; the pool does not shrink
RECYCLED_AFTER_TASKS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """P99 queue waits in milliseconds: of the first tasks, and of the next ones."""

    first: float
    next: float


def measure(bench: Bench, high: Tier, shape: Shape, then: Callable[[Running], object] = lambda _: None) -> Waits:
    """Start the fleet with the highest tier as given, and send; then look at that tier's worker."""
    tasks = bench.own_tasks(FIRST + NEXT)
    with bench.workers({tier.name: bench.command(tier) for tier in (high, *bench.lower)}) as (worker, *_):
        samples = bench.send(tasks, shape, FIRST + NEXT)
        then(worker)
    first, rest = (p99_wait_seconds(part) * 1000 for part in (samples[:FIRST], samples[FIRST:]))
    return Waits(first=first, next=rest)


def compare(rounds: int, rate: float) -> list[Comparison]:
    """Measure each row once a round."""
    with temporary_bench("coldstart") as bench:
        high, steady = bench.high, Stream(per_second=rate)
        smallest = msgspec.structs.replace(high, concurrency=high.autoscale.min)
        recycled = msgspec.structs.replace(high, max_tasks_per_child=RECYCLED_AFTER_TASKS)

        def expect_maximum(worker: Running) -> None:
            wait_until(lambda: len(worker.children()) >= high.autoscale.max, "the pool to have its maximum size")

        waits = take_turns(
            {
                "cold start": lambda: measure(bench, high, steady),
                "growth": lambda: measure(bench, smallest, BURSTS, expect_maximum),
                "recycling": lambda: measure(bench, recycled, steady),
            },
            rounds,
            "waits",
        )
    after = {name: [each.next for each in measured] for name, measured in waits.items()}
    first = {name: [each.first for each in measured] for name, measured in waits.items()}
    pairs = {
        "cold start": (first["cold start"], after["cold start"]),
        f"growth {high.autoscale.min} to {high.autoscale.max}": (first["growth"], after["growth"]),
        "recycling": (after["recycling"], after["cold start"]),
    }
    return [
        Comparison(name=f"{name}, ms", ours=new, baseline=warm, bar=BAR, digits=0)
        for name, (new, warm) in pairs.items()
    ]


def main() -> int:
    """Measure, print, and say by the exit code whether every bar is met."""
    parser = benchmark_options("coldstart", "Measure waits while processes are new.", turns="rounds", default=3)
    parser.add_argument("--rate", type=float, default=20.0, metavar="N", help="tasks a second of the steady load")
    options = parser.parse_args()
    title = f"p99 queue wait of the highest tier: median (min-max) of {options.rounds} rounds"
    comparisons = compare(options.rounds, options.rate)
    return print_comparisons(title, comparisons, as_json=options.json, sides=("new", "warm"))


if __name__ == "__main__":
    sys.exit(main())
