"""The pytest plugin: a project, brokers and a fleet, all real.

    pytest --broker embedded --broker redis:8.0

A test that takes `fleet` (or `broker`) runs once on each broker. Without `--broker` these are the embedded one and,
where a container engine answers, `deploytools.testing.brokers.IMAGES`. With CI set in the environment an engine must
be there.
"""

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deploytools.testing.brokers import EMBEDDED, IMAGES, MAX_TEST_PROCESSES, Broker, provide_broker
from deploytools.testing.containers import engine_is_there, remove_containers
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.identity import identify
from deploytools.testing.interruption import end_with_launcher, heed_signals, interrupt_test_processes
from deploytools.testing.project import ProjectUnderTest

SESSION = pytest.StashKey[str]()
FOLDER = pytest.StashKey[Path]()  # what the processes of a session share
TEST_PROCESSES = pytest.StashKey[list[int]]()  # of pytest-xdist
KINDS = pytest.StashKey[list[str]]()
FOLDER_PREFIX = "deploytools-test-"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --broker."""
    group = parser.getgroup("deploytools", "a fleet on real brokers")
    group.addoption(
        "--broker",
        action="append",
        metavar="KIND",
        help=f"run on this broker: {EMBEDDED}, {', '.join(IMAGES)}, another tag (repeatable; default: all there are)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the brokers, once a session: the processes of pytest-xdist take what the first one chose."""
    heed_signals()
    end_with_launcher(is_test_process=hasattr(config, "workerinput"))
    config.addinivalue_line("markers", "only_on(family): run on brokers of this family, `redis` or `rabbitmq`")
    told = getattr(config, "workerinput", {})
    config.stash[SESSION] = told.get("deploytools_session") or identify(os.getpid())
    config.stash[FOLDER] = Path(told.get("deploytools_folder") or _new_folder(config.stash[SESSION]))
    config.stash[KINDS] = told.get("deploytools_brokers") or _choose_brokers(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist what was chosen."""
    node.workerinput["deploytools_session"] = node.config.stash[SESSION]
    node.workerinput["deploytools_folder"] = str(node.config.stash[FOLDER])
    node.workerinput["deploytools_brokers"] = node.config.stash[KINDS]
    if node.gateway.spec.popen:
        node.config.stash.setdefault(TEST_PROCESSES, []).append(node.gateway._rinfo().pid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Interrupt the processes of pytest-xdist before it waits for their tests."""
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        pids: list[int] = session.config.stash.get(TEST_PROCESSES, [])
        interrupt_test_processes(pids)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the session shared, at its end or after Ctrl-C."""
    if hasattr(config, "workerinput") or FOLDER not in config.stash:
        return
    if list(config.stash[FOLDER].glob("*.lock")):
        remove_containers(config.stash[SESSION])
    shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which brokers tests run on."""
    kinds = config.stash[KINDS]
    return f"brokers: {', '.join(kinds)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what takes a broker once on each."""
    if "broker" not in metafunc.fixturenames:
        return
    if metafunc.config.stash[KINDS] != [EMBEDDED] and not engine_is_there():
        raise pytest.UsageError("no container engine answers: start Docker, or run on `--broker embedded` alone")
    mark = metafunc.definition.get_closest_marker("only_on")
    kinds = [kind for kind in metafunc.config.stash[KINDS] if mark is None or mark.args[0] in {kind, _family(kind)}]
    metafunc.parametrize("broker", kinds, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a test that failed, the ends of the logs of what it started."""
    report = yield
    if report.failed:
        projects = [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, ProjectUnderTest)]
        report.sections += [section for project in projects for section in project.log_ends()]
    return report


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Provide a broker of the kind that was asked for, to this test process alone."""
    config = request.config
    name = getattr(config, "workerinput", {}).get("workerid", "gw-1")
    worker = int(name.removeprefix("gw")) + 1
    if worker > MAX_TEST_PROCESSES:
        raise pytest.UsageError(f"-n: at most {MAX_TEST_PROCESSES} processes can share a Redis server")
    with provide_broker(
        request.param, session=config.stash[SESSION], folder=config.stash[FOLDER], worker=worker
    ) as one:
        yield one


@pytest.fixture
def project(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """Return the project that is tested, with a state folder and a broker of this test's own."""
    with project_in(pytestconfig.rootpath, tmp_path) as project:
        yield project


@pytest.fixture
def fleet(project: ProjectUnderTest, broker: Broker) -> Iterator[FleetUnderTest]:
    """Return the project's fleet on a broker; what a test starts of it ends with the test."""
    with FleetUnderTest(project=project, broker=broker) as fleet:
        yield fleet


@pytest.fixture
def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on.

    It is not one the system gives to connections: one of those could take it before the test does.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def project_in(root: Path, folder: Path) -> ProjectUnderTest:
    """Return a project whose state and logs are kept in a folder of the test's."""
    return ProjectUnderTest(
        root=root,
        state=folder / "state",
        logs=folder / "logs",
        env=os.environ,
        program=(str(Path(sys.executable).with_name("deploytools")),),
    )


def _new_folder(session: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{FOLDER_PREFIX}{session}-{secrets.token_hex(4)}"


def _choose_brokers(config: pytest.Config) -> list[str]:
    asked: list[str] | None = config.getoption("--broker")
    return asked or [EMBEDDED, *(IMAGES if os.environ.get("CI") or engine_is_there() else ())]


def _family(kind: str) -> str:
    return "rabbitmq" if kind.startswith("rabbitmq") else "redis"
