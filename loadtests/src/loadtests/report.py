"""What benchmarks share that compare: options, turns, comparisons with a bar, and the table of them."""

import json
import signal
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Values of ours and of a baseline, one a turn.

    `bar` is the largest ratio of the medians that passes; None: there is none. `digits` follow the decimal point.
    """

    name: str
    ours: Sequence[float]
    baseline: Sequence[float]
    bar: float | None = None
    digits: int = 2

    @property
    def ratio(self) -> float:
        """Our median over the baseline's."""
        return median(self.ours) / median(self.baseline)

    @property
    def met(self) -> bool:
        """Whether the ratio passes."""
        return self.bar is None or self.ratio <= self.bar

    def as_json(self) -> dict[str, object]:
        """Return this comparison's part of the JSON array."""
        return {name: getattr(self, name) for name in ("name", "ours", "baseline", "ratio", "bar", "met")}

    def as_row(self) -> list[str]:
        """Return this comparison's row of the table."""
        spans = [span(values, self.digits) for values in (self.ours, self.baseline)]
        met = "[green]yes[/]" if self.met else "[red]no[/]"
        return [self.name, *spans, f"{self.ratio:.2f}", *(("", "") if self.bar is None else (f"{self.bar:g}", met))]


def span(values: Sequence[float], digits: int) -> str:
    """Return the median, and the range in brackets."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def benchmark_options(module: str, description: str, *, turns: str = "pairs", default: int = 5) -> ArgumentParser:
    """Return the options of a benchmark: how many turns count, and the form of the output.

    From here on SIGTERM ends this process as Ctrl-C does: it stops what it started.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = ArgumentParser(prog=f"python -m loadtests.{module}", description=description)
    parser.add_argument(
        f"--{turns}", type=int, default=default, choices=range(1, 101), metavar="N", help=f"{turns} that count"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON value on stdout")
    return parser


def take_turns(
    takes: Mapping[str, Callable[[], T]], turns: int, what: str, *, warm_up: bool = False
) -> dict[str, list[T]]:
    """Take each measure once a turn; return name → its results. Another one begins each turn, so that drift is shared.

    With `warm_up` there is one turn more, and the first does not count. A bar on stderr shows the progress.
    """
    names, results = list(takes), {name: list[T]() for name in takes}
    for number in track(range((turns + warm_up) * len(names)), what, console=Console(stderr=True)):
        turn, position = divmod(number, len(names))
        name = names[(turn + position) % len(names)]
        results[name].append(takes[name]())
    return {name: values[warm_up:] for name, values in results.items()}


def benchmark_table(title: str, columns: Iterable[str]) -> Table:
    """Return an empty table that keeps its numbers whole at 80 columns."""
    made = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column else "left", no_wrap=bool(column))
    return made


def comparison_table(title: str, comparisons: Iterable[Comparison], *, sides: tuple[str, str]) -> Table:
    """Return medians, ranges and ratios, and whether each bar is met."""
    made = benchmark_table(title, ("", *sides, "ratio", "bar", "met"))
    for each in comparisons:
        made.add_row(*each.as_row())
    return made


def print_comparisons(
    title: str, comparisons: Sequence[Comparison], *, as_json: bool, sides: tuple[str, str] = ("ours", "baseline")
) -> int:
    """Print a table or JSON; return the exit code: 1 where a bar is missed."""
    if as_json:
        print(json.dumps([each.as_json() for each in comparisons]))
    else:
        Console().print(comparison_table(title, comparisons, sides=sides))
    return int(not all(each.met for each in comparisons))
