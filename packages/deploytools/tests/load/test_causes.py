"""Why tasks were late, read off the reports of a tier with four processes at start and a promise of 0.5 s."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from deploytools.fleet import Tier
from deploytools.load.causes import Cause, count_causes, explain
from deploytools.load.samples import Sample


def sample(
    at: float, *, wait: float = 0.01, run: float = 0.05, send_delay: float = 0.0, first_run: bool = False
) -> Sample:
    return Sample(
        id=f"{at}-{wait}-{run}-{first_run}",
        tier="quick",
        intended_at=at,
        published_at=at + send_delay,
        started_at=at + wait,
        run_seconds=run,
        state="SUCCESS",
        first_run=first_run,
    )


COLD = [sample(10.0 + number / 100, run=1.5, first_run=True) for number in range(4)]
WARM = [sample(10.0 + number / 100, run=1.5) for number in range(4)]


@pytest.mark.parametrize(
    ("samples", "causes"),
    [
        pytest.param([sample(10.1, wait=0.4)], {}, id="in-time"),
        pytest.param([*COLD, sample(10.1, wait=1.4)], {Cause.COLD: 1}, id="behind-first-runs"),
        pytest.param([*COLD, sample(12.0, wait=1.4)], {Cause.UNKNOWN: 1}, id="after-first-runs"),
        pytest.param(
            [sample(10.0, run=0.03, first_run=True), sample(9.5, wait=1.4)], {Cause.UNKNOWN: 1}, id="short-first-run"
        ),
        pytest.param([*WARM, sample(10.1, wait=1.4)], {Cause.BUSY: 1}, id="behind-later-runs"),
        pytest.param([*WARM[:3], sample(10.1, wait=1.4)], {Cause.UNKNOWN: 1}, id="a-process-was-idle"),
        pytest.param([sample(10.1, wait=0.7, send_delay=0.3)], {Cause.SENT_LATE: 1}, id="sent-late"),
        pytest.param([replace(sample(10.1, wait=0.7), publish_seconds=0.3)], {Cause.BROKER: 1}, id="accepted-late"),
        pytest.param([sample(10.1, wait=0.7, first_run=True)], {Cause.UNKNOWN: 1}, id="its-own-first-run-comes-after"),
        pytest.param(
            [*COLD, sample(10.1, wait=1.4), sample(10.2, wait=1.3), sample(20, wait=0.7)],
            {Cause.COLD: 2, Cause.UNKNOWN: 1},
            id="the-most-frequent-first",
        ),
    ],
)
def test_a_late_start_has_the_cause_that_lasted_long_enough(
    make_tier: Callable[..., Tier], samples: list[Sample], causes: dict[Cause, int]
) -> None:
    found = count_causes(make_tier(), samples)

    assert list(found.items()) == list(causes.items())


def test_causes_are_explained_in_one_sentence() -> None:
    text = explain({Cause.COLD: 5, Cause.SENT_LATE: 1}, 84)

    assert text == "5 of 84 tasks waited for cold processes, 1 were sent late"
