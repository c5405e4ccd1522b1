"""A broker that goes away, hangs or is full: workers come back by themselves, and nothing is lost."""

from collections.abc import Callable

import pytest

from deploytools.testing.chaos import Chaos, Fault, Outcome
from deploytools.testing.fleet import FleetUnderTest

pytestmark = pytest.mark.only_on("embedded")  # the others are shared between tests
MIN_ACCEPTED = 100  # before and between faults; of nothing, nothing can be lost
SETTLE_SECONDS = 40.0  # kombu waits for up to 30 s before it tries again


@pytest.mark.parametrize(
    ("fault", "per_300_kills", "seconds"),
    [
        pytest.param(Fault.KILL_BROKER, 20, 1.0, id="killed-and-restarted"),
        pytest.param(Fault.PAUSE_BROKER, 1, 30.0, id="hangs"),
        pytest.param(Fault.FILL_BROKER, 1, 20.0, id="out-of-memory"),
        pytest.param(Fault.CUT_NETWORK, 1, 30.0, id="unreachable"),
        pytest.param(Fault.SLOW_NETWORK, 1, 30.0, id="slow"),
    ],
)
def test_workers_come_back_by_themselves(
    far_fleet: FleetUnderTest,
    kills: int,
    seed: int,
    report: Callable[[Outcome], None],
    fault: Fault,
    per_300_kills: int,
    seconds: float,
) -> None:
    share = min(1.0, kills / 300)
    times = max(1, round(per_300_kills * share))

    outcome = Chaos(fleet=far_fleet, tier="counter", seed=seed).endure(
        [fault] * times,
        settle_seconds=SETTLE_SECONDS,
        fault_seconds=seconds if per_300_kills > 1 else max(6.0, seconds * share),
    )

    report(outcome)
    assert outcome.accepted > MIN_ACCEPTED
    far_fleet.wait_until_over([far_fleet.send("shop.quick")])  # publishers and workers are both back
    assert outcome.lost == ()
    assert outcome.workers_started == 2  # none had to be started again
    assert outcome.dead == 0
