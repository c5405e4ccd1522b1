"""Nothing is left of a test run, however it ends, and whichever of its processes is ended."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import psutil
import pytest

from deploytools.testing.containers import SESSION_LABEL, engine_is_there
from deploytools.testing.processes import Running
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until

# Writes its process id when all runs that a test can start: workers, a supervisor, its workers, beat and broker.
TEST = """
import os, pathlib, time

def test_that_never_ends(project, fleet):
    fleet.start("counter")
    project.start_command("up").wait_for_log(" ready.", times=2)
    pathlib.Path("new").write_text(str(os.getpid()))
    pathlib.Path("new").rename("started")
    time.sleep(600)
"""
KEPT = "kept"  # folders of tests, which pytest removes three runs later
# As nox does, it waits for pytest, and SIGTERM ends it at once.
LAUNCHER = """
import os, subprocess, sys
subprocess.run(sys.argv[1:], env={**os.environ, "DEPLOYTOOLS_SUPERVISED": str(os.getpid())})
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A test run in the middle of its test: its launcher, and its folder for temporary files."""

    launcher: Running
    folder: Path
    test_process: int

    def victims(self) -> dict[str, int]:
        """Return its processes by what they are."""
        [first] = psutil.Process(self.launcher.pid).children()
        return {"launcher": self.launcher.pid, "pytest": first.pid, "test process": self.test_process}


def processes_of(program: Running, folder: Path) -> set[psutil.Process]:
    """Return those below a program, and those that name a folder: a broker has no parent here."""
    every = psutil.process_iter(["cmdline"])
    named = [process for process in every if str(folder) in " ".join(process.info["cmdline"] or ())]
    return {*program.children(), *named}


def expect_end(program: Running, folder: Path, before: set[psutil.Process]) -> None:
    """Expect the processes that there were before, and those that started since, to end."""
    wait_until(
        lambda: not [each for each in before | processes_of(program, folder) if lives(each)], "everything to be gone"
    )


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path short enough for sockets below it."""
    with TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def start_run(shop: ProjectUnderTest, folder: Path, *options: str) -> Run:
    (shop.root / "test_shop.py").write_text(TEST)
    pytest_argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={folder / KEPT}"]
    launcher = shop.start([sys.executable, "-c", LAUNCHER, *pytest_argv, *options], TMPDIR=str(folder))
    started = shop.root / "started"

    def has_started() -> bool:
        assert launcher.process.poll() is None, launcher.log()
        return started.exists()

    wait_until(has_started, "the fleet of the test run")
    return Run(launcher=launcher, folder=folder, test_process=int(started.read_text()))


@pytest.mark.parametrize(
    ("processes", "victim", "number"),
    [
        pytest.param(0, "pytest", signal.SIGTERM, id="pytest-SIGTERM"),
        pytest.param(0, "pytest", signal.SIGKILL, id="pytest-SIGKILL"),
        pytest.param(1, "launcher", signal.SIGTERM, id="nox-SIGTERM"),
        pytest.param(1, "pytest", signal.SIGKILL, id="xdist-SIGKILL"),
        pytest.param(1, "test process", signal.SIGTERM, id="xdist-process-SIGTERM"),
        pytest.param(1, "test process", signal.SIGKILL, id="xdist-process-SIGKILL"),
    ],
)
def test_nothing_is_left_of_a_run_that_is_ended(
    shop: ProjectUnderTest, folder: Path, processes: int, victim: str, number: signal.Signals
) -> None:
    run = start_run(shop, folder, "--broker=embedded", f"-n{processes}")
    before = processes_of(run.launcher, folder)

    os.kill(run.victims()[victim], number)

    expect_end(run.launcher, folder, before)
    assert [path.name for path in folder.iterdir()] == [KEPT]


def test_no_container_is_left_of_a_run_that_is_killed(shop: ProjectUnderTest, folder: Path) -> None:
    if not engine_is_there():
        pytest.skip("no container engine answers")
    run = start_run(shop, folder, "--broker=redis:8.0")
    before, first = processes_of(run.launcher, folder), run.victims()["pytest"]

    def containers() -> list[str]:
        found = docker.from_env().containers.list(all=True, filters={"label": SESSION_LABEL})
        return [each.id for each in found if each.labels[SESSION_LABEL].startswith(f"{first}-")]

    assert len(containers()) == 1

    os.kill(first, signal.SIGKILL)

    expect_end(run.launcher, folder, before)
    assert containers() == []


@pytest.mark.parametrize(
    ("words", "log"),
    [
        pytest.param(["demo", "--seconds", "60"], "demo/fleet.log", id="demo"),
        pytest.param(["load.run", "smoke", "--seconds", "60"], "load/fleet.log", id="load run"),
    ],
)
def test_nothing_is_left_of_a_demo_or_a_load_run_that_is_killed(
    project: ProjectUnderTest, words: list[str], log: str
) -> None:
    program, fleet_log = project.start_command(*words), project.state / log
    wait_until(lambda: fleet_log.exists() and " ready." in fleet_log.read_text(), "a worker")
    before = processes_of(program, project.state)

    program.signal(signal.SIGKILL)

    expect_end(program, project.state, before)
    assert not project.broker.is_running()
