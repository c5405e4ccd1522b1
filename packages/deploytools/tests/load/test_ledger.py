"""The account of a run: what was sent, heard of, and how long it waited."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploytools.fleet import Tier
from deploytools.load.ledger import Ledger, percentiles


def message(task_id: str, **values: Any) -> dict[str, Any]:
    """Return what a probe tells of a task that went well."""
    ordinary = {
        "id": task_id,
        "queue": "quick_queue",
        "state": "SUCCESS",
        "wait_seconds": 0.1,
        "run_seconds": 1.0,
        "beat": False,
        "published_at": 0.0,
    }
    return ordinary | values


@pytest.fixture
def quick(make_tier: Callable[..., Tier]) -> Tier:
    return make_tier(name="quick", start_within_seconds=0.5)


@pytest.fixture
def slow(make_tier: Callable[..., Tier]) -> Tier:
    return make_tier(name="slow", start_within_seconds=30)


def test_each_tier_has_an_account_of_its_own(quick: Tier, slow: Tier) -> None:
    ledger = Ledger()
    for task_id, tier in (("a", quick), ("b", quick), ("c", quick), ("d", slow)):
        ledger.send(task_id, tier)
    ledger.hear(message("a"))
    ledger.hear(message("b", state="FAILURE"))

    account = ledger.result(quick)

    assert (account.sent, account.done, account.failed) == (3, 1, 1)
    assert (ledger.outstanding(quick), ledger.outstanding(slow), ledger.outstanding()) == (1, 1, 2)


def test_a_second_report_of_a_task_changes_nothing(quick: Tier) -> None:
    ledger = Ledger()
    ledger.send("a", quick)
    ledger.send("b", quick)
    ledger.hear(message("a", wait_seconds=0.1))
    before = ledger.result(quick)

    ledger.hear(message("a", wait_seconds=9.0, state="FAILURE"))

    assert ledger.result(quick) == before
    assert ledger.outstanding() == 1


def test_a_task_the_broker_refused_was_never_sent(quick: Tier) -> None:
    ledger = Ledger()
    ledger.send("a", quick)

    ledger.refuse("a")

    assert ledger.result(quick).sent == 0
    assert ledger.outstanding() == 0


def test_what_beat_sent_is_counted_apart(quick: Tier) -> None:
    ledger = Ledger()
    ledger.send("a", quick)

    ledger.hear(message("from-beat", beat=True))
    ledger.hear(message("from-beat", beat=True))

    assert ledger.beat_reports() == 1
    assert ledger.result(quick).sent == ledger.outstanding() == ledger.outstanding(quick) == 1


@pytest.mark.parametrize(
    ("waits", "held"),
    [
        pytest.param([0.1, 0.5], True, id="just-in-time"),
        pytest.param([0.1, 0.6], False, id="too-late"),
        pytest.param([0.1] * 199 + [9.0], True, id="one-in-two-hundred-may-be-late"),
        pytest.param([], False, id="nothing-heard-of"),
    ],
)
def test_a_promise_is_held_when_99_percent_started_in_time(quick: Tier, waits: list[float], held: bool) -> None:
    ledger = Ledger()
    for number, wait_seconds in enumerate(waits):
        ledger.send(str(number), quick)
        ledger.hear(message(str(number), wait_seconds=wait_seconds))

    account = ledger.result(quick)

    assert account.held is held
    assert account.promise_seconds == 0.5


def test_waits_are_of_all_tasks_and_run_times_of_those_that_succeeded(quick: Tier) -> None:
    ledger = Ledger()
    for task_id, state in (("a", "SUCCESS"), ("b", "FAILURE")):
        ledger.send(task_id, quick)
        ledger.hear(message(task_id, state=state, wait_seconds=0.2, run_seconds={"a": 1.0, "b": 5.0}[task_id]))

    account = ledger.result(quick)

    assert account.wait_seconds == pytest.approx({"p50": 0.2, "p95": 0.2, "p99": 0.2})
    assert account.run_seconds == {"p50": 1.0}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], {"p50": None, "p95": None, "p99": None}, id="none"),
        pytest.param([3.0], {"p50": 3.0, "p95": 3.0, "p99": 3.0}, id="one"),
        pytest.param([2.0, 1.0], {"p50": 1.5, "p95": 1.95, "p99": 1.99}, id="between-two"),
        pytest.param(range(101), {"p50": 50, "p95": 95, "p99": 99}, id="0-to-100"),
    ],
)
def test_percentiles_are_interpolated(values: list[float], expected: dict[str, float | None]) -> None:
    assert percentiles(values, (50, 95, 99)) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_grow_and_stay_among_the_values(values: list[float]) -> None:
    found = [value for value in percentiles(values, (1, 50, 95, 99)).values() if value is not None]

    assert found == pytest.approx(sorted(found))
    assert [min(*values, *found), max(*values, *found)] == pytest.approx([min(values), max(values)])
