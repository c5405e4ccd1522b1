"""How hard to try, and for how long; a fleet to break."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploytools.testing.brokers import Broker, EmbeddedRedisBroker, ProxiedRedisBroker
from deploytools.testing.chaos import Outcome
from deploytools.testing.chaos_report import write_chaos_report
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import project_in

SHOP = Path(__file__).parents[1] / "projects" / "shop"
REPORTS = Path(".deploytools") / "chaos"
MAX_SECONDS = 300.0
SECONDS_PER_KILL = 15.0  # on a busy machine: two faults, a worker's start, pauses, its share of the backlog


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--kills", type=int, default=30, help="how many kills (default: 30)")
    group.addoption("--seed", type=int, default=1, help="which faults, in which order")
    group.addoption("--transport", default="hardened", choices=["hardened", "stock"], help="the one to break")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seconds = MAX_SECONDS + config.getoption("--kills", 30) * SECONDS_PER_KILL
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """Return how hard to try: 300 is a full run, 10 what CI has time for."""
    return int(pytestconfig.getoption("--kills", 30))


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Return what decides on the faults."""
    return int(pytestconfig.getoption("--seed", 1))


@pytest.fixture
def shop_fleet(tmp_path: Path, broker: Broker, pytestconfig: pytest.Config) -> Iterator[FleetUnderTest]:
    """Return the shop's fleet on the transport that is to be broken."""
    root = tmp_path / "shop"
    shutil.copytree(SHOP, root)
    path = root / "fleet.toml"
    transport = pytestconfig.getoption("--transport", "hardened")
    path.write_text(path.read_text().replace("lease_seconds", f'transport = "{transport}"\nlease_seconds'))
    with project_in(root, tmp_path) as shop, FleetUnderTest(project=shop, broker=broker) as fleet:
        yield fleet


@pytest.fixture
def far_fleet(shop_fleet: FleetUnderTest) -> Iterator[FleetUnderTest]:
    """Return the shop's fleet with a network between it and its embedded broker."""
    assert isinstance(shop_fleet.broker, EmbeddedRedisBroker)
    with (
        closing(ProxiedRedisBroker(shop_fleet.broker)) as broker,
        FleetUnderTest(project=shop_fleet.project, broker=broker) as fleet,
    ):
        yield fleet


@pytest.fixture
def report(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Callable[[Outcome], None]:
    """Return what shows an account, and writes its page below `.deploytools/chaos`."""

    def show(outcome: Outcome) -> None:
        folder = pytestconfig.rootpath / REPORTS
        folder.mkdir(parents=True, exist_ok=True)
        name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]").replace("/", "-")
        write_chaos_report(outcome, folder / f"{name}.html", title=f"Chaos: {request.node.name.removeprefix('test_')}")
        print(f"\n{name}: {outcome.as_json()}")

    return show
