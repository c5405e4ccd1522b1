"""What `top` makes of numbers, and that its screen shows it."""

import asyncio
from collections.abc import Callable

import pytest
from textual.widgets import DataTable

from deploytools.broker.queues import QueueState
from deploytools.fleet import Fleet, Tier
from deploytools.inspect.top.rows import Row, compare, quantile
from deploytools.inspect.top.sample import Sample, Scrape, sum_up, told_queues
from deploytools.inspect.top.screen import TopScreen
from deploytools.transport.dead import dead_queue

INF = float("inf")
WAITS = "celery_task_wait_seconds_bucket"


@pytest.fixture(name="shop")
def make_shop(make_tier: Callable[..., Tier]) -> Fleet:
    return Fleet(app="shop", default_tier="quick", tiers=(make_tier(), make_tier(name="slow", queue="slow_queue")))


def scrape(pid: str, *, done: float, failed: float = 0, fast: float = 0, tiers: tuple[str, ...] = ("quick",)) -> Scrape:
    """Return what a worker says: `done` tasks, of which `fast` waited for 0.1 s at most and the others for 1 s."""
    labels = {"tier": "quick", "task": "shop.quick.a"}
    return Scrape(
        pid=pid,
        worker=f"quick-{pid}@host",
        tiers=tiers,
        series=(
            ("celery_task_submissions_total", labels, done + failed),
            ("celery_task_completions_total", labels, done),
            ("celery_task_failures_total", labels, failed),
            (WAITS, labels | {"le": "0.1"}, fast),
            (WAITS, labels | {"le": "1.0"}, done),
            (WAITS, labels | {"le": "+Inf"}, done),
            ("celery_worker_processes", {"tier": ",".join(tiers), "state": "busy"}, 1),
            ("celery_worker_processes", {"tier": ",".join(tiers), "state": "idle"}, 3),
            ("celery_worker_processes_max", {}, 8),
        ),
    )


def waiting(depth: int, dead: int = 0) -> dict[str, QueueState]:
    states = {"quick_queue": depth, dead_queue("quick_queue"): dead}
    return {name: QueueState(name=name, depth=count, oldest_seconds=None) for name, count in states.items()}


def sample(shop: Fleet, at: float, *scrapes: Scrape, depth: int = 0, consumed: set[str] | None = None) -> Sample:
    heard = {each.worker: {"quick_queue"} if consumed is None else consumed for each in scrapes}
    return sum_up(shop, scrapes, at=at, queues=waiting(depth), consumed=heard)


def quick(rows: tuple[Row, ...]) -> Row:
    return next(row for row in rows if row.tier == "quick")


def test_rates_are_what_workers_did_and_how_the_queue_grew(shop: Fleet) -> None:
    earlier = sample(shop, 10, scrape("1", done=100))
    later = sample(shop, 20, scrape("1", done=150, failed=10), depth=20)
    row = quick(compare(earlier, later))
    assert (row.in_per_second, row.out_per_second, row.failures, row.depth) == (8.0, 6.0, 10, 20)


def test_a_restarted_worker_counts_from_nothing_and_one_that_is_gone_takes_nothing_away(shop: Fleet) -> None:
    earlier = sample(shop, 0, scrape("1", done=1000), scrape("2", done=500))
    later = sample(shop, 10, scrape("1", done=1010), scrape("3", done=30))
    assert quick(compare(earlier, later)).out_per_second == 4.0


def test_waits_are_those_of_the_window_alone(shop: Fleet) -> None:
    earlier = sample(shop, 0, scrape("1", done=1000, fast=0))
    later = sample(shop, 60, scrape("1", done=1100, fast=100))
    row = quick(compare(earlier, later))
    assert row.p50_seconds == pytest.approx(0.05)
    assert row.p99_seconds == pytest.approx(0.099)


def test_rates_follow_what_happens_now_while_waits_keep_the_window(shop: Fleet) -> None:
    first, middle = sample(shop, 0, scrape("1", done=0)), sample(shop, 50, scrape("1", done=600, fast=600))
    last = sample(shop, 60, scrape("1", done=600, fast=600))
    row = quick(compare(first, last, lately=middle))
    assert row.out_per_second == 0
    assert row.p50_seconds is not None


@pytest.mark.parametrize(
    ("waits", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({0.1: 0, INF: 0}, 0.99, None),
        ({0.1: 10, INF: 10}, 0.5, 0.05),
        ({0.1: 0, 1.0: 10, INF: 10}, 0.5, 0.55),
        ({0.1: 5, 1.0: 5, INF: 10}, 0.99, 1.0),
    ],
)
def test_a_quantile_lies_even_within_its_bucket(waits: dict[float, float], share: float, seconds: float | None) -> None:
    assert quantile(waits, share) == (None if seconds is None else pytest.approx(seconds))


def test_processes_of_a_worker_for_several_tiers_count_for_each(shop: Fleet) -> None:
    rows = compare(*[sample(shop, at, scrape("1", done=0, tiers=("quick", "slow"))) for at in (0, 1)])
    assert [(row.busy, row.idle, row.most) for row in rows] == [(1, 3, 8), (1, 3, 8)]


def test_a_tier_is_paused_when_its_workers_say_that_none_takes_its_queue(shop: Fleet) -> None:
    def is_paused(made: Sample) -> bool:
        return made.tiers[0].is_paused

    assert is_paused(sample(shop, 0, scrape("1", done=0), consumed=set()))
    assert not is_paused(sample(shop, 0, scrape("1", done=0)))
    assert not is_paused(sum_up(shop, [scrape("1", done=0)], at=0, queues=None, consumed={}))


def test_without_a_broker_depth_is_unknown_rather_than_nothing(shop: Fleet) -> None:
    made = sum_up(shop, [], at=0, queues=None, consumed={})
    assert (made.is_broker_up, made.tiers[0].depth, made.tiers[0].dead) == (False, None, None)


def test_queues_are_those_that_the_leading_beat_tells(shop: Fleet) -> None:
    labels = {"tier": "quick", "queue": "quick_queue"}
    leader = Scrape(
        pid="9",
        worker="beat",
        tiers=(),
        series=(
            ("celery_beat_leader", {}, 1.0),
            ("celery_broker_up", {}, 1.0),
            ("celery_queue_depth", labels, 7.0),
            ("celery_dead_letters", labels, 2.0),
        ),
    )
    made = sum_up(shop, [leader], at=0, queues=told_queues(shop, leader), consumed={})
    assert (made.tiers[0].depth, made.tiers[0].dead, made.beats) == (7, 2, 1)


def test_the_screen_shows_each_tier_pauses_the_one_under_the_cursor_and_quits(shop: Fleet) -> None:
    paused: list[tuple[str, list[str]]] = []
    screen = TopScreen(
        take=lambda: sample(shop, 1, scrape("1", done=5), depth=3),
        pause=lambda tier, workers: paused.append((tier, list(workers))),
        resume=lambda *_: None,
    )

    async def look() -> None:
        async with screen.run_test(size=(140, 20)) as pilot:
            table = screen.query_one(DataTable)
            while table.row_count < 2:
                await pilot.pause(0.01)
            assert [str(cell).strip() for cell in table.get_row("quick")][:2] == ["quick", "3"]
            await pilot.press("p")
            while not paused:
                await pilot.pause(0.01)
            await pilot.press("q")

    asyncio.run(asyncio.wait_for(look(), timeout=60))
    assert paused == [("quick", ["quick-1@host"])]
    assert not screen.is_running


def test_all_columns_of_the_screen_fit_into_80(shop: Fleet) -> None:
    busy = [scrape(str(pid), done=12_345, failed=123, fast=0) for pid in range(10)]
    screen = TopScreen(take=lambda: sample(shop, 1, *busy, depth=11_903), pause=lambda *_: None, resume=lambda *_: None)

    async def look() -> None:
        async with screen.run_test(size=(80, 12)) as pilot:
            table = screen.query_one(DataTable)
            while table.row_count < 2:
                await pilot.pause(0.01)
            await pilot.pause()
            assert table.virtual_size.width <= 80

    asyncio.run(asyncio.wait_for(look(), timeout=60))
