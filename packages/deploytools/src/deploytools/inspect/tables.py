"""Snapshots and dead letters as tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from deploytools.inspect.dead import DeadLetter
from deploytools.inspect.layout import make_table
from deploytools.inspect.snapshot import Snapshot, TierState, WorkerState

MAX_ERROR = 200


def workers_table(snapshot: Snapshot) -> Table:
    """Return a row a worker: where it is, and what it runs."""
    table = make_table(
        "Workers", "tier", "queue", "worker", "processes", "running", "tasks that run now", numbers=("running",)
    )
    for tier, worker in _rows(snapshot):
        table.add_row(
            tier.name,
            tier.queue.name,
            worker.node if worker else "[red]none[/]",
            f"{worker.processes} of {worker.largest}" if worker else "0",
            str(len(worker.active)) if worker else "0",
            _counted(worker.active) if worker else "",
        )
    return table


def pools_table(snapshot: Snapshot) -> Table:
    """Return a row a worker: its pool."""
    table = make_table(
        "Pools",
        *("tier", "worker", "pid", "processes", "prefetch", "reserved", "tasks run", "max RSS, MiB"),
        numbers=("pid", "prefetch", "reserved", "tasks run", "max RSS, MiB"),
    )
    for tier, worker in _rows(snapshot):
        if worker is None:
            table.add_row(tier.name, "[red]none[/]", *[""] * 6)
            continue
        table.add_row(
            tier.name,
            worker.node,
            str(worker.pid),
            f"{worker.processes} of {worker.largest}",
            str(worker.prefetch_count),
            str(worker.reserved),
            str(worker.tasks_run),
            f"{worker.max_rss_kib / 1024:.0f}",
        )
    return table


def sizes_table(snapshot: Snapshot) -> Table:
    """Return a row a worker: why its pool has this size."""
    table = make_table("Pool sizes", "tier", "worker", "processes", "why")
    for tier, worker in _rows(snapshot):
        size = f"{worker.processes} of {worker.largest}" if worker else "0"
        table.add_row(tier.name, worker.node if worker else "[red]none[/]", size, worker.size_reason if worker else "")
    return table


def queues_table(snapshot: Snapshot) -> Table:
    """Return a row a tier: what waits for it."""
    unacked = "" if snapshot.unacked is None else f"taken and not yet acknowledged: {snapshot.unacked}"
    numbers = ("depth", "oldest, s", "promise, s", "workers", "processes", "busy")
    table = make_table("Queues", "tier", "queue", *numbers, numbers=numbers, caption=unacked)
    for tier in snapshot.tiers:
        oldest = tier.queue.oldest_seconds
        late = oldest is not None and oldest > tier.promise_seconds
        table.add_row(
            tier.name,
            tier.queue.name,
            str(tier.queue.depth),
            "-" if oldest is None else f"[{'red' if late else 'green'}]{oldest:.2f}[/]",
            f"{tier.promise_seconds:g}",
            str(len(tier.workers)),
            str(tier.processes),
            str(tier.busy),
        )
    return table


def dead_letters_table(letters: Sequence[DeadLetter]) -> Table:
    """Return a row a dead letter: which task, why, since when."""
    table = make_table(
        "Dead letters", "id", "tier", "reason", "since", "task", "error", caption=f"{len(letters)} in all"
    )
    for letter in letters:
        since = f"{datetime.fromtimestamp(letter.at, UTC):%Y-%m-%d %H:%M:%S}" if letter.at else "-"
        error = Text(letter.error[:MAX_ERROR])  # it may hold anything, markup too
        table.add_row(letter.id, letter.tier, letter.reason, since, letter.task or "-", error)
    return table


def _rows(snapshot: Snapshot) -> list[tuple[TierState, WorkerState | None]]:
    return [(tier, worker) for tier in snapshot.tiers for worker in (tier.workers or (None,))]


def _counted(names: tuple[str, ...]) -> str:
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
