"""How hard to try, and for how long."""

from pathlib import Path

import pytest

SETTLE_SECONDS = 60.0
SECONDS_PER_KILL = 8.0  # on a busy machine: two faults, a worker's start, pauses


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--kills", type=int, default=30, help="how many kills (default: 30)")
    group.addoption("--seed", type=int, default=1, help="which faults, in which order")
    group.addoption("--transport", default="hardened", choices=["hardened", "stock"], help="the one to break")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seconds = 2 * SETTLE_SECONDS + config.getoption("--kills", 30) * SECONDS_PER_KILL
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(seconds))
