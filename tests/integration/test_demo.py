"""The main job: a fleet of its own, a mixed load, an account by tier, and nothing left."""

import json
import signal

import psutil
import pytest

from deploytools.errors import RunInProgressError
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import DEADLINE_SECONDS, wait_until


def test_a_demo_accounts_for_every_task_and_leaves_nothing_running(project: ProjectUnderTest) -> None:
    before = {process.pid for process in psutil.process_iter()}

    done = project.command("demo", "--seconds", "4", "--json")

    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["lost"] == 0
    assert account["beat"]["sent"] >= 1
    assert list(account["tiers"]) == ["high", "medium", "low"]
    assert account["passed"] == account["verdict"].startswith("every promise held")
    for tier in account["tiers"].values():
        assert tier["sent"] >= tier["done"] > 0  # on a busy machine some may be left in the broker: they are not lost
        assert tier["failed"] == 0
        assert 0 <= tier["wait_seconds"]["p50"] <= tier["wait_seconds"]["p95"] <= tier["wait_seconds"]["p99"]
        assert tier["run_seconds"]["p50"] > 0
        assert tier["first_run"]["count"] > 0
        assert tier["held"] == (tier["wait_seconds"]["p99"] <= tier["promise_seconds"])
    assert not list((project.state / "demo").rglob("*.sock"))

    def left() -> list[psutil.Process]:
        started = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
        return [process for process in started if str(project.state) in " ".join(process.info["cmdline"] or ())]

    wait_until(lambda: not left(), "the end of what the demo started")  # the broker's reaper outlives it by a moment


@pytest.mark.parametrize("words", [["demo"], ["load.run", "smoke"]])
def test_a_second_run_refuses_and_the_first_one_goes_on(project: ProjectUnderTest, words: list[str]) -> None:
    first = project.start_command("demo", "--seconds", "4", "--json")
    wait_until((project.state / "demo" / "fleet.log").exists, "the first demo's fleet")

    second = project.command(*words)

    assert second.returncode == RunInProgressError.exit_code
    [line] = second.stderr.splitlines()
    assert f"another demo or load run is in progress (pid {first.pid}: deploytools demo --seconds 4 --json)" in line
    assert f"kill -INT {first.pid}" in line
    assert first.wait(deadline_seconds=DEADLINE_SECONDS) == 0, first.log()
    assert '"lost": 0' in first.log()


def test_a_demo_that_was_killed_does_not_hinder_the_next(project: ProjectUnderTest) -> None:
    killed = project.start_command("demo", "--seconds", "60")
    log = project.state / "demo" / "fleet.log"
    wait_until(lambda: log.exists() and " ready." in log.read_text(), "the first demo's workers")
    killed.signal(signal.SIGKILL)
    killed.wait()

    done = project.command("demo", "--seconds", "3", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lost"] == 0


@pytest.mark.parametrize("words", [["demo"], ["load.run", "smoke"]])
def test_a_project_without_a_workload_is_told_how_to_declare_one(shop: ProjectUnderTest, words: list[str]) -> None:
    done = shop.command(*words)

    assert done.returncode == 9
    assert len(done.stderr.splitlines()) == 1
    assert "workload" in done.stderr
    assert not shop.broker.is_running()
