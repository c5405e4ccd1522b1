"""What commands print, and how they refuse what they cannot do."""

import re
import sys
from pathlib import Path

import pytest

from deploytools.commands import worker_task
from deploytools.errors import FleetFileError, SettingError
from deploytools.fleet import load_fleet
from deploytools.testing.project import ProjectUnderTest

HEAD = """
[fleet]
app = "app.tasks:celery_app"
default_tier = "one"
"""


def tier(name: str, *, tasks: str = "a.*", queue: str = "one", least: int = 1, limit: int = 10, more: str = "") -> str:
    return f"""
[tiers.{name}]
queue = "{queue}"
tasks = ["{tasks}"]
start_within_seconds = 1
concurrency = 2
autoscale = {{ min = {least}, max = 4 }}
time_limit_seconds = {limit}
{more}
"""


def test_a_dry_run_prints_one_line_and_starts_nothing(project: ProjectUnderTest) -> None:
    done = project.command("worker.high", "--dry")

    assert done.returncode == 0
    assert done.stderr == ""
    [line] = done.stdout.splitlines()
    assert "--queues=high_priority" in line
    assert "--concurrency=4 --autoscale=8,2" in line
    assert not project.state.exists()


def test_overrides_of_the_environment_show_in_the_line(project: ProjectUnderTest) -> None:
    done = project.command("worker.high", "--dry", CELERY_AUTOSCALE_MAX="16", CELERY_LOGLEVEL="debug")

    assert "--autoscale=16,2" in done.stdout
    assert "--loglevel=debug" in done.stdout


def test_listing_the_commands_imports_no_celery(project: ProjectUnderTest) -> None:
    listing = "import sys, tasks; assert not {'celery', 'kombu', 'redis', 'rich', 'pydantic'} & set(sys.modules)"

    done = project.run("python", "-c", listing)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        pytest.param(tier("one", more="concurency = 3"), ["one.concurency", "did you mean 'concurrency'"], id="key"),
        pytest.param(tier("one") + tier("two", tasks="b.*"), ["two.queue = 'one'", "its own"], id="queue used twice"),
        pytest.param(tier("one") + tier("two", queue="two"), ["two.tasks", "'a.*'", "disjoint"], id="pattern twice"),
        pytest.param(tier("one", least=9), ["min = 9", "max = 4", "lower min"], id="min above max"),
        pytest.param(tier("one", limit=-10), ["time_limit_seconds = -10", ">= 1"], id="negative limit"),
        pytest.param(None, ["no such fleet file", "DEPLOYTOOLS_FLEET"], id="missing file"),
    ],
)
def test_a_wrong_fleet_file_is_one_line_and_an_exit_code(
    project: ProjectUnderTest, tmp_path: Path, tiers: str | None, words: list[str]
) -> None:
    path = tmp_path / "fleet.toml"
    if tiers is not None:
        path.write_text(HEAD + tiers)

    done = project.command("--list", DEPLOYTOOLS_FLEET=str(path))

    assert_one_line_error(done.stderr, words)
    assert done.returncode == FleetFileError.exit_code


@pytest.mark.parametrize(
    ("words", "env", "exit_code", "expected"),
    [
        pytest.param(
            ["worker.high"],
            {"CELERY_AUTOSCALE_MAX": "abc"},
            4,
            ["CELERY_AUTOSCALE_MAX=abc", "whole number"],
            id="bad number",
        ),
        pytest.param(["beat"], {"CELERY_LOGLEVEL": "loud"}, 4, ["CELERY_LOGLEVEL=loud", "debug"], id="bad level"),
        pytest.param(
            ["worker.high"], {"CELERY_BROKER_URL": "http://u:s3cret@host"}, 5, ["unknown scheme 'http'"], id="bad URL"
        ),
        pytest.param(
            ["beat"], {"DEPLOYTOOLS_CONTAINER": "1"}, 5, ["CELERY_BROKER_URL is not set", "container"], id="container"
        ),
    ],
)
def test_a_wrong_environment_is_one_line_and_an_exit_code(
    project: ProjectUnderTest, words: list[str], env: dict[str, str], exit_code: int, expected: list[str]
) -> None:
    done = project.command(*words, **env)

    assert_one_line_error(done.stderr, expected)
    assert "s3cret" not in done.stdout + done.stderr
    assert done.returncode == exit_code


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["load.run", "smoke", "--seconds", "abc"], ["--seconds abc", "number"], id="no number"),
        pytest.param(["load.run", "smoke", "--times", "0"], ["--times 0", "above 0"], id="no rate"),
        pytest.param(["deploy.roll", "--tier", "nosuch"], ["--tier nosuch", "high, medium, low"], id="no tier"),
        pytest.param(["load.run", "wave"], ["wave", "smoke", "flood"], id="no profile"),
        pytest.param(["doctor", "--commands", sys.executable], ["--commands", "no text"], id="no text"),
    ],
)
def test_a_wrong_option_is_one_line_and_an_exit_code(
    project: ProjectUnderTest, words: list[str], expected: list[str]
) -> None:
    done = project.command(*words)

    assert_one_line_error(done.stderr, expected)
    assert done.returncode == SettingError.exit_code


@pytest.mark.parametrize("command", ["worker.high", "worker.all", "up", "beat", "queues", "inspect", "stats", "events"])
def test_a_broker_that_is_not_there_is_one_line_and_an_exit_code(
    project: ProjectUnderTest, free_port: int, command: str
) -> None:
    done = project.command(command, CELERY_BROKER_URL=f"redis://:s3cret@127.0.0.1:{free_port}/0")

    assert_one_line_error(done.stderr, [f"redis://:********@127.0.0.1:{free_port}/0", "refused", "start it"])
    assert done.returncode == 6


def test_rendered_files_name_commands_that_there_are(shop: ProjectUnderTest) -> None:
    names = [worker_task(tier) for tier in load_fleet(shop.root / "fleet.toml")]

    assert names == ["worker.counter", "worker.store-room"]
    assert {shop.command(name, "--dry").returncode for name in names} == {0}


def test_a_file_named_from_another_folder_is_found_by_what_is_started(project: ProjectUnderTest) -> None:
    done = project.command("beat", "--dry", CELERY_BEAT_SCHEDULE="ticks")

    assert re.search(r"--schedule=/\S+/ticks ", done.stdout)


def test_the_worker_of_all_queues_replaces_its_processes_as_often_as_was_asked(project: ProjectUnderTest) -> None:
    done = project.command("worker.dev", "--dry", "--no-reload", MAX_TASKS_PER_CHILD="5")

    assert "--max-tasks-per-child=5 " in done.stdout


def test_looking_at_a_project_whose_broker_is_down_does_not_start_it(project: ProjectUnderTest) -> None:
    done = project.command("queues")

    assert done.returncode == 6
    assert not project.broker.is_running()


def assert_one_line_error(stderr: str, words: list[str]) -> None:
    assert "Traceback" not in stderr
    [line] = stderr.splitlines()
    for word in words:
        assert word in line
