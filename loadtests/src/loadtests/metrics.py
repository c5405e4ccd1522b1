"""What counting costs: `python -m loadtests.metrics [--pairs 5]`.

No-ops a second of one worker, with its metrics endpoint and without. Sides take turns, the first turn warms up.
"""

import argparse
import sys
from dataclasses import replace
from statistics import median

from rich.console import Console
from rich.progress import track

from loadtests.transports import sides

BAR = 0.95


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.metrics", description="Measure what counting costs.")
    parser.add_argument("--pairs", type=int, default=5, choices=range(1, 101), metavar="N", help="turns that count")
    pairs = parser.parse_args().pairs
    drained: dict[str, list[float]] = {"0": [], "off": []}
    with sides() as (_, hardened):
        for turn in track(range(pairs + 1), "measuring", console=Console(stderr=True)):
            for port in sorted(drained, reverse=bool(turn % 2)):
                value = replace(hardened, environment={"CELERY_METRICS_PORT": port}).drain()
                if turn:
                    drained[port].append(value)
    for port, name in (("0", "with metrics"), ("off", "without")):
        values = drained[port]
        print(f"{name:<13} {median(values):5.0f} ({min(values):.0f}-{max(values):.0f}) tasks/s")
    ratios = [on / off for on, off in zip(drained["0"], drained["off"], strict=True)]
    print(f"ratio         {median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f}), median of pairs; bar {BAR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
