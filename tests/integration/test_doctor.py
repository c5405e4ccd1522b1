"""The doctor on real projects: a sound fleet that runs, the guide's own lines, and projects with planted faults."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import project_in
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until

BROKEN = Path(__file__).parents[1] / "projects" / "broken"
# What the guide starts, flag by flag, and the plain application it starts it for.
GUIDE = """
celery -A shop worker --queues=high_priority --concurrency=4 --autoscale=8,2 --optimization=fair --without-gossip \\
  --without-mingle --without-heartbeat --prefetch-multiplier=1 --max-tasks-per-child=1000 --loglevel=info
celery -A shop beat --schedule=/tmp/celerybeat-schedule --pidfile=/tmp/celerybeat.pid --loglevel=info
celery -A shop flower --port=5555
"""
GUIDED = """
from celery import Celery

app = Celery("shop", broker="redis://127.0.0.1:1/0", backend="redis://127.0.0.1:1/1")
app.conf.task_routes = {"shop.chat": {"queue": "high_priority"}}


@app.task
def chat() -> None: ...
"""


def examine(project: ProjectUnderTest, *words: str, exit_code: int) -> dict[str, Any]:
    done = project.command("doctor", "--json", *words)
    assert done.returncode == exit_code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def rules(answer: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in answer["findings"]}


def test_nothing_is_found_on_our_own_fleet_while_it_runs(project: ProjectUnderTest) -> None:
    up = project.start_command("up")
    up.wait_for_log(" ready.", times=3)

    answer = examine(project, "--fail-on", "note", exit_code=0)

    assert answer["findings"] == []
    assert answer["skipped"] == {}
    assert {finding["rule"] for finding in answer["ignored"]} == {"revokes-forgotten"}


def test_the_guides_own_lines_have_eight_faults_at_least(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(GUIDED)
    (tmp_path / "commands.txt").write_text(GUIDE)
    with project_in(tmp_path, tmp_path / "home") as guided:
        answer = examine(guided, "-A", "shop:app", "--commands", "commands.txt", exit_code=1)

    assert rules(answer) >= {
        "acknowledged-before-run",
        "beat-state-in-tmp",
        "concurrency-ignored",
        "events-off",
        "fair-redundant",
        "flower-without-password",
        "heartbeat-off",
        "no-time-limit",
        "prefetch-reserves-more",
        "take-is-not-atomic",
    }


@pytest.mark.parametrize(
    ("name", "words", "planted"),
    [
        pytest.param("routes", [], {"route-of-no-task", "memory-too-small-for-pool"}, id="routes"),
        pytest.param(
            "beat", [], {"entry-of-unknown-task", "entry-never-expires", "entry-to-undeclared-queue"}, id="beat"
        ),
        pytest.param(
            "delivery",
            [],
            {
                "acknowledged-before-run",
                "lost-process-fails-task",
                "reconnect-gives-up",
                "results-kept-for-ever",
            },
            id="delivery",
        ),
        pytest.param("secrets", [], {"password-shown", "pickle-accepted"}, id="secrets"),
        pytest.param(
            "queues",
            ["-A", "shop:app"],
            {
                "default-queue-undeclared",
                "misspelt-queues-are-made",
                "queues-share-a-binding",
                "route-to-undeclared-queue",
            },
            id="queues",
        ),
    ],
)
def test_exactly_the_planted_faults_are_found(name: str, words: list[str], planted: set[str], tmp_path: Path) -> None:
    shutil.copytree(BROKEN / name, tmp_path / name)
    with project_in(tmp_path / name, tmp_path) as broken:
        answer = examine(broken, "--fail-on", "note", *words, exit_code=1)

    assert rules(answer) == planted


@pytest.mark.only_on("redis")
def test_what_waits_for_nobody_is_found_on_a_live_broker(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.send("shop.quick")
    shop_fleet.app.send_task("shop.quick", queue="counter")
    with shop_fleet.app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.lpush("conter", channel.client.lindex("counter", -1))

    def seen() -> dict[str, Any]:
        env = {"CELERY_BROKER_URL": shop_fleet.broker.url}
        done = shop_fleet.project.command("doctor", "--json", **env)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer if "promise-broken-now" in rules(answer) else {}

    answer = wait_until(seen, "the promise to be broken")
    assert "queue-without-worker" in rules(answer)
    strays = [finding["where"] for finding in answer["findings"] if finding["rule"] == "messages-in-undeclared-queue"]
    assert strays in (["conter"], [])  # a user of the least rights sees its own queues only


def test_a_rule_that_does_not_exist_is_one_clear_line(shop: ProjectUnderTest) -> None:
    done = shop.command("doctor", "--only", "beats-side-by-sied")

    assert done.returncode == 4
    assert done.stderr == "--only beats-side-by-sied: no such rule: did you mean beats-side-by-side?\n"
