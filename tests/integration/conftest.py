"""Projects to run: this repository (the plugin's `project`), and a small shop that is not ours."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploytools.testing.brokers import Broker
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import project_in
from deploytools.testing.project import ProjectUnderTest

SHOP = Path(__file__).parents[1] / "projects" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """Return a copy of a project with tiers of other names and tasks as long as a test wants."""
    root = tmp_path / "shop"
    shutil.copytree(SHOP, root)
    with project_in(root, tmp_path) as shop:
        yield shop


@pytest.fixture
def shop_fleet(shop: ProjectUnderTest, broker: Broker) -> Iterator[FleetUnderTest]:
    """Return the shop's fleet: `counter` (2 processes at start, 1 to 4), and `store_room` (2, 1 to 2)."""
    with FleetUnderTest(project=shop, broker=broker) as fleet:
        yield fleet
