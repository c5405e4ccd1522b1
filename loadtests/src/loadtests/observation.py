"""What it costs to be observed: `python -m loadtests.observation [--rounds 9]`.

No-ops a second of one worker of two processes, on the hardened transport: by itself, with its metrics endpoint, and
reporting to a load run. Then by itself and reporting on kombu's own. Sides take turns, the first round warms up.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploytools.worker.probe import PROBE_QUEUE
from loadtests.transports import Side, sides

BAR = 0.95
REPORTS = {PROBE_QUEUE: "reports"}


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.observation", description="Measure what observing costs."
    )
    parser.add_argument("--rounds", type=int, default=9, choices=range(1, 101), metavar="N", help="rounds that count")
    rounds = parser.parse_args().rounds
    with sides() as (stock, hardened):
        print_table(measure(variants(hardened), rounds))
        print_table(measure({name: one for name, one in variants(stock).items() if "metrics" not in name}, rounds))
    return 0


def variants(side: Side) -> dict[str, tuple[Side, Mapping[str, str]]]:
    """Return how a side is run, and with which headers its tasks are sent, by name; the first is the baseline."""
    alone = replace(side, environment={"CELERY_METRICS_PORT": "off"})
    counted = replace(side, environment={"CELERY_METRICS_PORT": "0"})
    return {
        f"{side.name}, by itself": (alone, {}),
        f"{side.name}, with metrics": (counted, {}),
        f"{side.name}, reporting": (alone, REPORTS),
    }


def measure(runs: Mapping[str, tuple[Side, Mapping[str, str]]], rounds: int) -> dict[str, list[float]]:
    """Return name → tasks a second, one a round."""
    drained: dict[str, list[float]] = {name: [] for name in runs}
    for number in track(range(rounds + 1), "measuring", console=Console(stderr=True)):
        for name in sorted(runs, reverse=bool(number % 2)):
            side, headers = runs[name]
            value = side.drain(headers=headers)
            if number:
                drained[name].append(value)
    return drained


def print_table(drained: Mapping[str, list[float]]) -> None:
    """Print medians, ranges, and ratios to the first side."""
    shown = Table()
    for column in ("", "tasks/s", f"ratio, median of rounds (bar {BAR})"):
        shown.add_column(column, no_wrap=True, justify="right" if column else "left")
    baseline = next(iter(drained.values()))
    for name, values in drained.items():
        ratio = median(one / other for one, other in zip(values, baseline, strict=True))
        shown.add_row(name, f"{median(values):.0f} ({min(values):.0f}-{max(values):.0f})", f"{ratio:.3f}")
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
