"""Warm-ups: which run where, when failed processes are replaced, and when a successor is started."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploytools.errors import SettingError
from deploytools.fleet import Fleet
from deploytools.worker import warm_up, warming
from deploytools.worker.starts import Starts
from deploytools.worker.warming import MAX_RETRY_SECONDS, is_worn, retry_delay_seconds


@dataclass
class Process:
    """What a start knows of a process."""

    pid: int
    _controlled_termination: bool = False


@pytest.fixture(autouse=True)
def no_warm_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_registered", [])


def nothing() -> None:
    """Do nothing."""


def names(tiers: list[str] | None) -> list[str]:
    return [each.function.__name__ for each in warming.warm_ups(tiers)]


def test_a_function_without_tiers_runs_in_processes_of_all_tiers_in_the_order_of_registration() -> None:
    @warm_up
    def first() -> None: ...

    @warm_up(tiers=["high"])
    def second() -> None: ...

    assert names(["high", "low"]) == names(None) == ["first", "second"]
    assert names(["low"]) == ["first"]


def test_a_registered_function_can_still_be_called() -> None:
    @warm_up(time_limit_seconds=5)
    def answer() -> int:
        return 42

    assert answer() == 42


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tiers": "high"}, "tiers = 'high': give a list of names"),
        ({"tiers": None}, "tiers = None: give a list of names"),
        ({"time_limit_seconds": "60"}, "time_limit_seconds = '60': give a number above 0"),
        ({"time_limit_seconds": 0}, "time_limit_seconds = 0: give a number above 0"),
        ({"time_limit_seconds": float("nan")}, "time_limit_seconds = nan: give a number above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingError) as refused:
        warm_up(**options)(nothing)

    assert str(refused.value).endswith(problem)


class Later:
    """Is called by awaiting it."""

    async def __call__(self) -> None: ...


async def later() -> None:
    """Do nothing."""


@pytest.mark.parametrize("function", [later, Later()])
def test_a_coroutine_function_is_refused(function: Any) -> None:
    with pytest.raises(SettingError, match=r"coroutine function: call it by asyncio\.run"):
        warm_up(function)


def test_a_function_that_needs_arguments_is_refused_without_them() -> None:
    def connect(url: str) -> str:
        return url

    untyped: Any = warm_up
    with pytest.raises(SettingError, match="it needs arguments: give them with functools"):
        untyped(connect)

    warm_up(partial(connect, "redis://"))
    [each] = warming.warm_ups()
    assert each.name.endswith(".connect")
    assert each.function() == "redis://"


def test_an_error_is_told_in_one_line_of_ordinary_length() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert warming.describe(OSError("no\n  route")) == "OSError: no route"
    assert warming.describe(MuteError()) == "MuteError: (no text)"
    assert len(warming.describe(OSError("x" * 10**6))) < 600


def test_a_tier_that_the_fleet_does_not_have_is_refused(fleet: Fleet) -> None:
    warm_up(tiers=["hihg"])(nothing)

    with pytest.raises(SettingError, match=r"tiers = \['hihg'\]: no such tier: the fleet has "):
        warming.check_tiers(fleet)


def test_a_module_that_cannot_be_preloaded_is_named_with_its_tier(make_tier: Any) -> None:
    with pytest.raises(SettingError, match=r"tiers\.\w+\.preload: 'no_such_module': ModuleNotFoundError: "):
        warming.preload([make_tier(preload=("json", "no_such_module"))])


def test_a_module_that_raises_when_it_is_imported_is_named(
    make_tier: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising_module.py").write_text("raise ValueError('two\\nlines')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with pytest.raises(SettingError, match=r"'raising_module': ValueError: two lines: "):
        warming.preload([make_tier(preload=("raising_module",))])


def test_delays_before_failed_processes_are_replaced_double_up_to_a_limit() -> None:
    assert [retry_delay_seconds(tries) for tries in range(1, 5)] == [0.5, 1.0, 2.0, 4.0]
    assert retry_delay_seconds(10**6) == MAX_RETRY_SECONDS


@pytest.mark.parametrize(("max_tasks", "worn_from"), [(1, 1), (2, 1), (3, 2), (10, 9), (50, 45), (1000, 900)])
def test_a_process_is_worn_in_the_last_tenth_of_its_tasks(max_tasks: int, worn_from: int) -> None:
    assert not is_worn(worn_from - 1, max_tasks)
    assert is_worn(worn_from, max_tasks)


def test_a_process_without_a_maximum_is_never_worn() -> None:
    assert not is_worn(10**9, None)


def test_processes_that_fail_together_lengthen_the_delay_once() -> None:
    starts = Starts()
    for pid in (1, 2):
        starts.begin(Process(pid))

    delays = [starts.fail(starts.cold[pid], "raised it", now=100.0 + pid / 10) for pid in (1, 2)]

    assert delays == pytest.approx([0.5, 0.4])
    starts.begin(Process(3))
    assert starts.fail(starts.cold[3], "raised it", now=101.0) == 1.0
    assert starts.failures == {"initialisation": 3}


def test_a_process_that_becomes_warm_ends_the_failing() -> None:
    starts = Starts()
    for pid in (1, 2, 3):
        starts.begin(Process(pid))
    starts.enter(1, "shop.connect")
    starts.fail(starts.cold[1], "raised it", now=0.0)
    assert starts.failing == "warm-up shop.connect raised it"

    assert starts.succeed(2)

    assert starts.failing is None
    assert starts.fail(starts.cold[3], "raised it", now=10.0) == 0.5


def test_a_step_that_is_over_is_not_ended_for_its_time_limit() -> None:
    starts = Starts()
    starts.begin(Process(1))
    first = starts.enter(1, "shop.connect")
    assert first is not None
    number = first.step
    assert starts.is_still_at(1, number)

    starts.enter(1, "shop.connect")  # registered twice: the same name, another step

    assert not starts.is_still_at(1, number)


def test_of_processes_that_are_gone_those_count_that_were_not_stopped() -> None:
    starts = Starts()
    for pid in (1, 2, 3):
        starts.begin(Process(pid, _controlled_termination=pid == 2))

    assert [start.process.pid for start in starts.forget_ended([3])] == [1]
    assert starts.cold.keys() == {3}


def test_a_process_that_was_stopped_while_it_started_is_not_warm() -> None:
    starts = Starts()
    starts.begin(Process(1, _controlled_termination=True))

    assert not starts.succeed(1)
    assert not starts.succeed(2)
