"""A demo's verdict in one line."""

from dataclasses import replace

import pytest

from deploytools.errors import VerdictError
from deploytools.fleet import Fleet
from deploytools.load.demo_result import DemoResult
from deploytools.load.result import tier_load
from deploytools.load.samples import Sample


def demo_of(fleet: Fleet, *, wait_seconds: float, lost: int = 0, state: str = "SUCCESS") -> DemoResult:
    samples = [
        Sample(
            id=str(number),
            tier="high",
            intended_at=10.0 + number,
            published_at=10.0 + number,
            started_at=10.0 + number + (wait_seconds if number < 2 else 0.01),
            run_seconds=0.05,
            state=state if number == 0 else "SUCCESS",
        )
        for number in range(40)
    ]
    others = [replace(one, tier=tier) for one in samples[2:] for tier in ("medium", "low")]
    loads = tuple(tier_load(tier, [s for s in (*samples, *others) if s.tier == tier.name], 0) for tier in fleet)
    return DemoResult(tiers=loads, lost=lost, refused=0, sent_by_beat=1)


def test_a_demo_that_kept_every_promise_says_so(fleet: Fleet) -> None:
    demo = demo_of(fleet, wait_seconds=0.01)

    assert demo.verdict == "every promise held, and no task was lost"
    assert demo.as_json()["passed"] is True


def test_a_missed_promise_is_named_with_by_how_much_and_why_and_fails_nothing(fleet: Fleet) -> None:
    demo = demo_of(fleet, wait_seconds=1.55)

    assert demo.verdict.startswith("high missed its promise: p99 1.55 s, 3.1 x 0.5 s; 2 of 40 tasks were late")
    assert demo.as_json()["passed"] is False
    assert demo.as_json()["verdict"] == demo.verdict
    demo.raise_if_lost()


def test_a_lost_task_comes_first_and_fails_the_demo(fleet: Fleet) -> None:
    demo = demo_of(fleet, wait_seconds=1.55, lost=3)

    assert demo.verdict.startswith("3 accepted tasks were lost; high missed its promise")
    with pytest.raises(VerdictError, match="3 accepted tasks were lost"):
        demo.raise_if_lost()


def test_a_failed_task_is_part_of_the_verdict(fleet: Fleet) -> None:
    assert demo_of(fleet, wait_seconds=0.01, state="FAILURE").verdict == "1 of 40 tasks of high failed"
