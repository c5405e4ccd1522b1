"""No accepted task is lost, whatever is killed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploytools.testing.brokers import Broker
from deploytools.testing.chaos import Chaos
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import project_in

SHOP = Path(__file__).parents[1] / "projects" / "shop"
LEASE_SECONDS = 3.0  # in the shop's fleet file
SETTLE_SECONDS = 20.0  # some leases


@pytest.fixture
def shop_fleet(tmp_path: Path, broker: Broker, pytestconfig: pytest.Config) -> Iterator[FleetUnderTest]:
    root = tmp_path / "shop"
    shutil.copytree(SHOP, root)
    path = root / "fleet.toml"
    transport = pytestconfig.getoption("--transport", "hardened")
    path.write_text(path.read_text().replace("lease_seconds", f'transport = "{transport}"\nlease_seconds'))
    with project_in(root, tmp_path) as shop, FleetUnderTest(project=shop, broker=broker) as fleet:
        yield fleet


@pytest.mark.only_on("redis")
def test_no_accepted_task_is_lost(shop_fleet: FleetUnderTest, pytestconfig: pytest.Config) -> None:
    kills, seed = pytestconfig.getoption("--kills", 30), pytestconfig.getoption("--seed", 1)

    outcome = Chaos(fleet=shop_fleet, tier="counter", seed=seed).run(kills, settle_seconds=SETTLE_SECONDS)

    print(f"\n{shop_fleet.broker.kind}: {outcome.as_json()}")
    assert outcome.accepted > 10 * kills
    assert outcome.lost == ()
    assert outcome.dead == 0
    assert outcome.redelivery_p99_seconds is None or outcome.redelivery_p99_seconds <= 2 * LEASE_SECONDS
