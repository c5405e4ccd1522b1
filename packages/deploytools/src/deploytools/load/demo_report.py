"""Show a demo: a bar while it runs, a table of its tiers at the end."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from deploytools.inspect.layout import make_table, print_table
from deploytools.load.demo_result import DemoResult
from deploytools.load.samples import Account
from deploytools.load.workload import ResultTable


@contextmanager
def progress(seconds: float) -> Iterator[Callable[[float, Account], None]]:
    """Show a progress bar on stderr; yield what to call with (seconds so far, account)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task("starting the fleet", total=None)

        def watch(offered_seconds: float, account: Account) -> None:
            text = f"offering load, {account.outstanding()} tasks waiting or running"
            bar.update(row, total=seconds, completed=offered_seconds, description=text)

        yield watch


def print_result(result: DemoResult) -> None:
    """Print a run's account as a table on stdout."""
    print_table(result_table(result))
    refused = f"   refused by the broker: {result.refused}" if result.refused else ""
    print(f"lost: {result.lost}   sent by beat: {result.sent_by_beat}{refused}")


def result_table(result: DemoResult) -> Table:
    """Return a row a tier: its tasks, its queue wait, and whether its promise was held."""
    numbers = ("sent", "done", "failed", "p50", "p95", "p99", "promise")
    title = "Queue wait (publish → start) of each tier, ms"
    table = make_table(title, "tier", *numbers, "held", "run p50", numbers=(*numbers, "run p50"))
    for tier in result.tiers:
        table.add_row(
            f"[bold]{tier.name}[/]",
            str(tier.sent),
            str(tier.done),
            f"[red]{tier.failed}[/]" if tier.failed else "0",
            *(_milliseconds(tier.wait.percentiles[key]) for key in ("p50", "p95", "p99")),
            _milliseconds(tier.promise_seconds),
            "[green]yes[/]" if tier.held else "[red]no[/]",
            _milliseconds(tier.run.percentiles["p50"]),
        )
    return table


def print_verdict(result: DemoResult) -> None:
    """Print the verdict, the last line of a demo."""
    print()
    Console().print(result.verdict, style="red" if result.problems() else "green", soft_wrap=True, highlight=False)


def print_result_tables(shown: Iterable[ResultTable]) -> None:
    """Print what the tasks have made."""
    for each in shown:
        print()
        print_table(shown_table(each))


def shown_table(shown: ResultTable) -> Table:
    """Return what the tasks have made as a table."""
    table = make_table(shown.title, *shown.columns)
    for row in shown.rows:
        table.add_row(*map(Text, row))
    return table


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f}" if seconds >= 0.1 else f"{seconds * 1000:.1f}"
