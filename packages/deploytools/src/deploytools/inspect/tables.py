"""Snapshots as tables."""

from rich.table import Table

from deploytools.inspect.snapshot import Snapshot, TierState, WorkerState


def workers_table(snapshot: Snapshot) -> Table:
    """Return a row a worker: where it is, and what it runs."""
    table = _table("Workers", "tier", "queue", "worker", "processes", "running", "tasks that run now")
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
    table = _table("Pools", "tier", "worker", "pid", "processes", "prefetch", "reserved", "tasks run", "max RSS, MiB")
    for tier, worker in _rows(snapshot):
        if worker is None:
            table.add_row(tier.name, "[red]none[/]")
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
    table = _table("Pool sizes", "tier", "worker", "processes", "why")
    for tier, worker in _rows(snapshot):
        size = f"{worker.processes} of {worker.largest}" if worker else "0"
        table.add_row(tier.name, worker.node if worker else "[red]none[/]", size, worker.size_reason if worker else "")
    return table


def queues_table(snapshot: Snapshot) -> Table:
    """Return a row a tier: what waits for it."""
    table = _table("Queues", "tier", "queue", "depth", "oldest, s", "promise, s", "workers", "processes", "busy")
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
    if snapshot.unacked is not None:
        table.caption = f"taken and not yet acknowledged: {snapshot.unacked}"
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column)
    return table


def _rows(snapshot: Snapshot) -> list[tuple[TierState, WorkerState | None]]:
    return [(tier, worker) for tier in snapshot.tiers for worker in (tier.workers or (None,))]


def _counted(names: tuple[str, ...]) -> str:
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
