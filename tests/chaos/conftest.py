"""How hard to try."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--kills", type=int, default=30, help="how many kills (default: 30)")
    group.addoption("--seed", type=int, default=1, help="which faults, in which order")
    group.addoption("--transport", default="hardened", choices=["hardened", "stock"], help="the one to break")
