"""What it costs to be observed: `python -m loadtests.observation [--rounds 100]`.

No-ops a second of a worker of two processes on the hardened transport, by itself and with its metrics endpoint, for
tasks that are reported to a load run and tasks that are not; then the reports on kombu's own transport. The workers
stay, each with its own broker; backlogs of 1500 take turns, the first round warms up. On a machine that is shared one
ratio says little, so there are many, and the interval is shown that has their median with a probability of 95 %.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import floor, sqrt
from statistics import median

from rich.console import Console
from rich.progress import track

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.worker.completion_reports import PROBE_QUEUE
from loadtests.report import benchmark_table, span
from loadtests.transports import Side, sides

BAR = 0.95
Drain = Callable[[], float]  # drains a backlog, and returns tasks a second
BACKLOGS: dict[str, dict[str, str]] = {"by itself": {}, "reporting": {PROBE_QUEUE: "reports"}}


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.observation", description="Measure what observing costs."
    )
    parser.add_argument(
        "--rounds", type=int, default=100, choices=range(1, 1001), metavar="N", help="rounds that count"
    )
    rounds = parser.parse_args().rounds
    with sides() as (stock, hardened):
        for side, with_metrics in ((hardened, True), (stock, False)):
            with ready(side, with_metrics=with_metrics) as drains:
                print_table(measure(drains, rounds))
    return 0


@contextmanager
def ready(side: Side, *, with_metrics: bool) -> Iterator[dict[str, Drain]]:
    """Start a side's workers; yield what drains by name, the first is the baseline."""
    with ExitStack() as stack:
        quiet = replace(side, environment={"CELERY_METRICS_PORT": "off"})
        drain = stack.enter_context(quiet.draining(BACKLOGS))
        drains: dict[str, Drain] = {f"{side.name}, {name}": partial(drain, name) for name in BACKLOGS}
        if with_metrics:
            broker = EmbeddedBroker(state=side.folder / "counted")
            stack.callback(broker.stop)
            broker.start()
            counted = replace(side, broker=broker, environment={"CELERY_METRICS_PORT": "0"})
            drains[f"{side.name}, with metrics"] = partial(
                stack.enter_context(counted.draining({"counted": {}})), "counted"
            )
        yield drains


def measure(drains: Mapping[str, Drain], rounds: int) -> dict[str, list[float]]:
    """Return name → tasks a second, one a round."""
    drained: dict[str, list[float]] = {name: [] for name in drains}
    for number in track(range(rounds + 1), "measuring", console=Console(stderr=True)):
        for name in list(drains)[:: -1 if number % 2 else 1]:
            value = drains[name]()
            if number:
                drained[name].append(value)
    return drained


def print_table(drained: Mapping[str, list[float]]) -> None:
    """Print medians, ranges, and ratios to the first side."""
    rows = benchmark_table("Observing: median (min-max)", ("", "tasks/s", "ratio", "95 % interval", "bar"))
    baseline = next(iter(drained.values()))
    for name, values in drained.items():
        speeds = span(values, 0)
        if values is baseline:
            rows.add_row(name, speeds)
        else:
            ratios = [one / other for one, other in zip(values, baseline, strict=True)]
            low, high = interval(ratios)
            rows.add_row(name, speeds, f"{median(ratios):.3f}", f"{low:.3f}-{high:.3f}", f"{BAR}")
    Console().print(rows)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return two of the values that have the median between them with a probability of 95 %, by their ranks."""
    ranked, half = sorted(values), 0.98 * sqrt(len(values))
    low = max(0, floor(len(values) / 2 - half))
    return ranked[low], ranked[-1 - low]


if __name__ == "__main__":
    sys.exit(main())
