"""The pytest plugin: fixtures to run a fleet for real."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploytools.testing.project import ProjectUnderTest


@pytest.fixture
def project(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """Return the project that is tested, with a state folder and a broker of this test's own."""
    under_test = ProjectUnderTest(
        root=pytestconfig.rootpath,
        state=tmp_path / "state",
        logs=tmp_path / "logs",
        env=os.environ,
        program=(str(Path(sys.executable).with_name("deploytools")),),
    )
    with under_test as project:
        yield project


@pytest.fixture
def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
