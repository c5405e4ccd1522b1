"""Rows as text: the same cells on the live screen and in a table that is printed once."""

from rich.table import Table
from rich.text import Text

from deploytools.inspect.layout import make_table
from deploytools.inspect.top.rows import Row
from deploytools.inspect.top.sample import Sample

# Times are in seconds; `busy` is of the processes there are, `max` of those there may be. All fit into 80 columns.
COLUMNS = (
    "tier",
    "depth",
    "oldest",
    "promise",
    "p50",
    "p99",
    "in/s",
    "out/s",
    "busy",
    "max",
    "failed",
    "dead",
    "state",
)


def cells(row: Row) -> tuple[Text, ...]:
    """Return a row's cells; what breaks a promise is red."""
    late = "red" if (row.oldest_seconds or 0) > row.promise_seconds else ""
    slow = "red" if (row.p99_seconds or 0) > row.promise_seconds else ""
    return (
        Text(row.tier, style="bold"),
        Text(_count(row.depth)),
        Text(_seconds(row.oldest_seconds), style=late),
        Text(f"{row.promise_seconds:g}"),
        Text(_seconds(row.p50_seconds)),
        Text(_seconds(row.p99_seconds), style=slow),
        Text(_rate(row.in_per_second)),
        Text(_rate(row.out_per_second)),
        Text(f"{row.busy}/{row.busy + row.idle}"),
        Text(str(row.most)),
        Text(str(row.failures), style="red" if row.failures else ""),
        Text(_count(row.dead), style="red" if row.dead else ""),
        _state(row),
    )


def fleet_line(sample: Sample) -> Text:
    """Return what is to say of beat and broker."""
    idle = sample.beat_idle_seconds
    beat = f"{sample.beats}, none leads" if idle is None else f"{sample.beats}, looked {idle:.1f} s ago"
    memory = "" if sample.memory_bytes is None else f", {sample.memory_bytes / 2**20:.1f} MiB"
    return Text.assemble(
        ("beat ", "bold"),
        (f"{beat}, {sample.ticks} ticks" if sample.beats else "none", "" if idle is not None else "yellow"),
        ("   broker ", "bold"),
        (f"up{memory}", "green") if sample.is_broker_up else ("does not answer", "red"),
    )


def top_table(rows: tuple[Row, ...], sample: Sample) -> Table:
    """Return a table to print."""
    table = make_table("", *COLUMNS, numbers=COLUMNS[1:-1], caption=fleet_line(sample))
    for row in rows:
        table.add_row(*cells(row))
    return table


def _state(row: Row) -> Text:
    if row.is_paused:
        return Text("paused", style="yellow")
    return Text("runs", style="green") if row.most else Text("none", style="red")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.0f}"


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:.0f}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
