"""The real fleet, a builder of small tiers, and no way out of this process."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

from deploytools.fleet import Autoscale, Fleet, Tier, load_fleet

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("a unit test opened a connection or started a program")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture(scope="session")
def fleet_path() -> Path:
    """Where the reference application declares its fleet."""
    return Path(__file__).parents[2] / "app/src/app/fleet.toml"


@pytest.fixture(scope="session")
def fleet(fleet_path: Path) -> Fleet:
    """The fleet of the reference application."""
    return load_fleet(fleet_path)


@pytest.fixture(scope="session")
def make_tier() -> Callable[..., Tier]:
    """Make a tier of 2 to 8 processes, 4 at start, with other values where they are given."""

    def make(**values: Any) -> Tier:
        ordinary: dict[str, Any] = {
            "name": "quick",
            "queue": "quick_queue",
            "tasks": ("shop.quick.*",),
            "start_within_seconds": 0.5,
            "concurrency": 4,
            "autoscale": Autoscale(min=2, max=8),
            "time_limit_seconds": 120,
        }
        return Tier(**(ordinary | values))

    return make
