"""Doctor finds what is planted, finds nothing where nothing is wrong, and works on any Celery application."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deploytools.testing.plugin import project_in
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until

BROKEN = Path(__file__).parents[1] / "projects" / "broken"
GUIDE_MISTAKES = {
    "acknowledged-early",
    "concurrency-ignored",
    "events-off",
    "fair-redundant",
    "flower-open",
    "heartbeat-off",
    "no-time-limit",
    "node-name-shared",
    "one-more-is-held",
    "schedule-in-tmp",
}
PLANTED = {
    "unknown_periodic_task": {"periodic-task-unknown", "periodic-task-never-expires"},
    "not_installed": {"fleet-not-installed", "acknowledged-early"},
    "pickles": {"pickle-accepted", "password-in-settings"},
    "bare_queues": {
        "exchange-shared",
        "missing-queues-created",
        "route-to-undeclared-queue",
        "default-queue-undeclared",
    },
    "unchecked_certificate": {
        "certificate-not-checked",
        "lost-with-its-process",
        "runs-twice-after-reconnect",
        "message-ends-worker",
        "socket-never-times-out",
        "results-never-expire",
        "results-block-publishers",
    },
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """Return a copy of a project of that name, far from this repository's fleet file."""
    root = tmp_path / "project"
    shutil.copytree(BROKEN / request.param, root)
    with ExitStack() as stack:
        yield stack.enter_context(project_in(root, tmp_path))


def examine(project: ProjectUnderTest, *words: str) -> tuple[int, dict[str, Any]]:
    done = project.command("doctor", "--json", *words)
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    examination: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, examination


def rules(examination: dict[str, Any], *severities: str) -> set[str]:
    return {each["rule"] for each in examination["findings"] if not severities or each["severity"] in severities}


def test_our_own_running_fleet_has_no_error_and_no_warning(project: ProjectUnderTest) -> None:
    up = project.start_command("up")
    up.wait_for_log(" ready.", times=3, deadline_seconds=60)

    def settled() -> dict[str, Any]:
        code, examination = examine(project, "--fail-on", "warning")
        assert (code, rules(examination, "error", "warning"), examination["skipped"]) == (0, set(), {})
        return examination

    examination = wait_until(settled, "a clean bill")

    assert "replicas-missing" in rules(examination, "note")


@pytest.mark.parametrize(("broken", "planted"), PLANTED.items(), ids=PLANTED, indirect=["broken"])
def test_exactly_what_is_planted_is_found(broken: ProjectUnderTest, planted: set[str]) -> None:
    words = [] if (broken.root / "fleet.toml").exists() else ["-A", "shop:app"]

    code, examination = examine(broken, *words)

    assert rules(examination, "error", "warning") == planted
    assert code == 1


@pytest.mark.parametrize("broken", ["guide"], indirect=True)
def test_the_guides_command_lines_are_judged_without_being_started(broken: ProjectUnderTest, tmp_path: Path) -> None:
    log = tmp_path / "doctor.sarif"

    code, examination = examine(broken, "-A", "shop:app", "--commands", "commands.txt", "--sarif", str(log))

    assert rules(examination) >= GUIDE_MISTAKES
    assert code == 1
    [run] = json.loads(log.read_text())["runs"]
    assert {result["ruleId"] for result in run["results"]} == rules(examination)


@pytest.mark.parametrize("broken", ["guide"], indirect=True)
def test_a_reason_in_pyproject_keeps_a_finding_quiet(broken: ProjectUnderTest) -> None:
    line = ["-A", "shop:app", "--command", "celery -A shop:app flower", "--only", "flower-open"]
    pyproject = broken.root / "pyproject.toml"

    before, _ = examine(broken, *line)
    pyproject.write_text('[tool.deploytools.doctor]\nignore = { "flower-open" = "behind the proxy" }\n')
    after, examination = examine(broken, *line)
    pyproject.write_text('[tool.deploytools.doctor]\nignore = { "flower-open" = "" }\n')
    refused = broken.command("doctor", *line)

    assert (before, after) == (1, 0)
    assert [each["reason"] for each in examination["ignored"]] == ["behind the proxy"]
    assert refused.returncode == 4
    assert "has no reason" in refused.stderr


def test_what_waits_for_nobody_is_found_in_the_broker(project: ProjectUnderTest) -> None:
    project.command("broker.up")
    project.run(sys.executable, "-c", "from app.tasks import celery_app as a; a.send_task('app.tasks.chat.complete')")
    client = project.broker.client()
    client.copy("high_priority", "hgih_priority")
    client.hset("unacked", "tag", "[]")
    asked = ("backlog-without-worker", "stray-queue", "unacked-held-by-nobody", "worker-lacks-tasks")

    code, examination = examine(project, "--only", ",".join(asked))

    assert rules(examination) == {"backlog-without-worker", "stray-queue", "unacked-held-by-nobody"}
    assert examination["skipped"] == {"a worker that answers": ["worker-lacks-tasks"]}
    assert code == 1
