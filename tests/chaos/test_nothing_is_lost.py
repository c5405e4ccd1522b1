"""No accepted task is lost, whatever is killed."""

from collections.abc import Callable

import pytest

from deploytools.testing.chaos import UNREADABLE, Chaos, Fault, Outcome
from deploytools.testing.fleet import FleetUnderTest

LEASE_SECONDS = 3.0  # in the shop's fleet file
SETTLE_SECONDS = 20.0  # some leases
ENOUGH_FOR_A_P99 = 100  # of fewer it is the slowest: that one may have waited for a busy processor


@pytest.mark.only_on("redis")
def test_no_accepted_task_is_lost(
    shop_fleet: FleetUnderTest, kills: int, seed: int, report: Callable[[Outcome], None]
) -> None:
    outcome = Chaos(fleet=shop_fleet, tier="counter", seed=seed).run(kills, settle_seconds=SETTLE_SECONDS)

    report(outcome)
    assert outcome.accepted > 10 * kills
    assert outcome.lost == ()
    assert outcome.dead == len(UNREADABLE) * outcome.faults.get(Fault.POISON, 0)
    if outcome.redelivery_p99_seconds is not None:
        most = 1.2 if outcome.redeliveries_timed >= ENOUGH_FOR_A_P99 else 2.0
        assert outcome.redelivery_p99_seconds <= most * LEASE_SECONDS
