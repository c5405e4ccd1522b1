"""Every table of every command at 80 columns, with long values: no header, number or path is cut."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

import deploytools
from deploytools.broker.queues import QueueState
from deploytools.fleet import Fleet
from deploytools.inspect.dead import DeadLetter
from deploytools.inspect.doctor.examine import Examination
from deploytools.inspect.doctor.finding import Finding, Severity
from deploytools.inspect.doctor.report import print_examination
from deploytools.inspect.layout import print_table
from deploytools.inspect.snapshot import Snapshot, TierState, WorkerState
from deploytools.inspect.tables import dead_letters_table, pools_table, queues_table, sizes_table, workers_table
from deploytools.inspect.top.cells import top_table
from deploytools.inspect.top.rows import Row
from deploytools.inspect.top.sample import sum_up
from deploytools.load.compare import Difference, differences_table
from deploytools.load.demo_report import result_table, shown_table
from deploytools.load.demo_result import DemoResult
from deploytools.load.result import tier_load
from deploytools.load.samples import Sample
from deploytools.load.workload import ResultTable

COLUMNS = 80
PATH = "/home/somebody/projects/arena/.deploytools/demo/objects/2026/11/26/exports/pictures-000000000000000017.parquet"
NODE = "medium-31358-1@ip-10-120-134-156.eu-central-1.compute.internal"
REASON = "12 of 12: 11903 waiting, 41.7 ms each, would start in 41.36 s of the 30 s promised; held at the maximum"


def worker(node: str) -> WorkerState:
    return WorkerState(
        node=node,
        pid=3135812,
        queues=("medium_priority",),
        processes=12,
        largest=12,
        prefetch_count=24,
        active=("app.tasks.embeddings.embed",) * 7 + ("app.tasks.promotion.publish",) * 5,
        reserved=24,
        tasks_run=1_234_567,
        max_rss_kib=4_194_304,
        size_reason=REASON,
    )


def snapshot(node: str) -> Snapshot:
    state = QueueState(name="medium_priority", depth=1_190_312, oldest_seconds=119_031.25)
    busy = TierState(name="medium", promise_seconds=30, queue=state, workers=(worker(node),))
    idle = TierState(
        name="high", promise_seconds=0.5, queue=QueueState(name="h", depth=0, oldest_seconds=None), workers=()
    )
    return Snapshot(tiers=(busy, idle), unacked=12)


def demo_table(fleet: Fleet, wait_seconds: float) -> Table:
    samples = [
        Sample(
            id=str(n), tier="low", intended_at=0, published_at=0, started_at=wait_seconds, run_seconds=1.9, state=state
        )
        for n, state in enumerate(["SUCCESS"] * 1000 + ["FAILURE"] * 11)
    ]
    return result_table(
        DemoResult(tiers=tuple(tier_load(tier, samples, 4) for tier in fleet), lost=0, refused=0, sent_by_beat=0)
    )


def tops_table(fleet: Fleet) -> Table:
    row = Row(
        tier="medium",
        depth=1_190_312,
        oldest_seconds=119_031.25,
        promise_seconds=300,
        p50_seconds=9.875,
        p99_seconds=11_903.5,
        in_per_second=1234.5,
        out_per_second=1234.5,
        busy=12,
        idle=12,
        most=24,
        failures=11_903,
        dead=11_903,
        is_paused=True,
    )
    return top_table((row,), sum_up(fleet, [], at=0.0, queues=None, consumed={}))


def dead_table(error: str) -> Table:
    letter = DeadLetter(
        id="3f2a9c0d71b84e6f",
        tier="medium",
        queue="medium_priority",
        reason="retries exhausted",
        error=error,
        at=1_795_000_000.0,
        task="app.tasks.embeddings.embed",
        task_id=None,
        raw="",
        message=None,
    )
    return dead_letters_table([letter])


def differences(seconds: float) -> Table:
    one = Difference(
        tier="medium",
        a_p50_seconds=seconds,
        b_p50_seconds=seconds,
        a_p99_seconds=seconds,
        b_p99_seconds=seconds,
        a_longer_share=0.5,
        p_value=1.2e-138,
    )
    return differences_table([one])


TABLES: dict[str, Callable[[Fleet], Table]] = {
    "inspect": lambda _: workers_table(snapshot("medium-1@vm")),
    "inspect, long names": lambda _: workers_table(snapshot(NODE)),
    "stats": lambda _: pools_table(snapshot("medium-1@vm")),
    "stats, long names": lambda _: pools_table(snapshot(NODE)),
    "queues": lambda _: queues_table(snapshot(NODE)),
    "autoscale.explain": lambda _: sizes_table(snapshot("medium-1@vm")),
    "autoscale.explain, long names": lambda _: sizes_table(snapshot(NODE)),
    "top": tops_table,
    "demo": lambda fleet: demo_table(fleet, 11.903),
    "demo, long waits": lambda fleet: demo_table(fleet, 3599.9),
    "demo: what tasks made": lambda _: shown_table(
        ResultTable(title="Where to look", columns=("what", "where"), rows=(("1,234 pictures of today", PATH),))
    ),
    "load.compare": lambda _: differences(0.0119),
    "load.compare, long waits": lambda _: differences(3599.9),
    "dead.list": lambda _: dead_table("ValueError: no such document"),
    "dead.list, a path": lambda _: dead_table(
        f"FileNotFoundError: [Errno 2] No such file or directory: {PATH!r} [red]"
    ),
}


@pytest.fixture(name="console")
def make_console() -> Console:
    return Console(file=StringIO(), width=COLUMNS, color_system=None)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_readable_at_80_columns(name: str, fleet: Fleet, console: Console) -> None:
    table = TABLES[name](fleet)

    print_table(table, console)

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    words = printed.split()
    for column in table.columns:
        for cell in (column.header, *column.cells):
            text = cell.plain if isinstance(cell, Text) else console.render_str(str(cell)).plain
            assert not [word for word in text.split() if word not in words], f"{text!r} is cut: {printed}"
    # A line is longer only where one word is.
    assert not [line for line in printed.split("\n") if len(line) > COLUMNS and len(line.split()[-1]) < COLUMNS // 2]


def test_the_doctor_wraps_between_words_and_keeps_paths_whole(console: Console) -> None:
    link = f"https://example.org{PATH}#a-rule"
    finding = Finding(
        rule="prefetch-hides-work",
        severity=Severity.ERROR,
        title="A worker reserves more tasks than it runs, and others wait for them although processes are idle.",
        where=f"worker {NODE}, {PATH}",
        proof="prefetch_multiplier = 4",
        consequence="Tasks wait for a busy process.",
        fix="Set worker_prefetch_multiplier = 1.",
        link=link,
    )

    print_examination(Examination(findings=(finding,), ignored=(), skipped={}, rules=()), console)

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"    {link}\n" in printed
    assert {PATH + ":", NODE + ","} <= set(printed.split())
    assert not [line for line in printed.split("\n") if len(line) > COLUMNS and len(line.split()) > 1]


def test_tables_are_made_in_one_way_only() -> None:
    """What is made otherwise is not covered by the tests above."""
    sources = Path(deploytools.__file__).parent.rglob("*.py")
    makers = [path.name for path in sources if re.search(r"(?<!Data)(?<!def )\bTable\(", path.read_text())]

    assert makers == ["layout.py"]
