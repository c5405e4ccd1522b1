"""The compose file of this project, really run: healthy, hardened, silent about its secrets, losing nothing."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event, Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from deploytools.deploy.fleet import roll_fleet
from deploytools.deploy.roll import roll
from deploytools.errors import VerdictError
from deploytools.project import find_project
from deploytools.testing.containers import engine_is_there
from deploytools.testing.plugin import project_in
from deploytools.testing.stack import ExternalPublisher, Stack, built
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE

IMAGE = "celery-fleet:test"
# The same, with one more task.
NEXT_VERSION = f"""
FROM {IMAGE}
USER 0
RUN printf '\\nfrom celery import shared_task\\n@shared_task(name="app.tasks.chat.later")\\ndef later(): pass\\n' \\
  >> "$(echo /opt/venv/lib/python3*/site-packages/app/tasks/chat.py)"
USER 10001:10001
"""
# Each task of the application once, with arguments that exist in the stack's own stores.
ARGUMENTS = """
import json, random
from app.workload import workload
random = random.Random(1)
print(json.dumps([[offer.task, offer.make_arguments(random)] for offer in workload.prepare().offers]))
"""


def docker(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/env", "docker", *words], input=stdin, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> Iterator[str]:
    """Build the image."""
    if not engine_is_there():
        assert "CI" not in os.environ, "no container engine answers"
        pytest.skip("no container engine answers")
    with built(pytestconfig.rootpath, IMAGE) as name:
        yield name


@pytest.fixture
def next_image(image: str) -> Iterator[str]:
    """Build an image that has one more task; it goes after the stack."""
    name = f"{image}-next"
    done = docker("build", "--quiet", "--tag", name, "-", stdin=NEXT_VERSION)
    assert done.returncode == 0, done.stderr
    yield name
    docker("image", "rm", name)


@pytest.fixture
def stack(pytestconfig: pytest.Config, image: str, tmp_path: Path) -> Iterator[Stack]:
    with Stack.of(find_project({}, pytestconfig.rootpath), folder=tmp_path / "project", image=image) as stack:
        yield stack


@pytest.mark.timeout(700)
def test_the_stack_is_healthy_and_closed_and_loses_nothing_when_it_is_stopped(stack: Stack) -> None:
    stack.up()
    expect_declared_replicas(stack)
    expect_no_rights(stack)

    outside = ExternalPublisher.of(stack)
    offers = json.loads(stack.compose("exec", "-T", "celery-worker-low", "python", "-", stdin=ARGUMENTS))
    assert len({task.split(".")[2] for task, _ in offers}) == 12
    for task, arguments in offers:
        outside.send(task, [tuple(arguments)], queue=stack.fleet.tier_of_task(task).queue)
    outside.expect_nothing_lost(deadline_seconds=60)

    for tier in stack.fleet:
        outside.send(SERVE, [(0.5,)] * 100, queue=tier.queue)
    stack.compose("stop")
    assert {one["State"]["ExitCode"] for one in stack.containers()} == {0}
    stack.up()
    outside.again().expect_nothing_lost(deadline_seconds=120)

    expect_silence_about_secrets(stack)


def expect_declared_replicas(stack: Stack) -> None:
    for tier in stack.fleet:
        assert len(stack.engine.containers(f"celery-worker-{tier.name}")) == tier.replicas
    assert len(stack.engine.containers("celery-beat")) == 1


def expect_no_rights(stack: Stack) -> None:
    for one in stack.containers():
        users = [line.split()[1] for line in stack.engine.docker("top", one["Id"], "-eo", "pid,uid").splitlines()[1:]]
        assert users, one["Name"]
        assert "0" not in users, one["Name"]
        host = one["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        published = [binding for bindings in (host["PortBindings"] or {}).values() for binding in bindings]
        assert {binding["HostIp"] for binding in published} <= {"127.0.0.1"}


def expect_silence_about_secrets(stack: Stack) -> None:
    told = json.dumps(stack.containers()) + stack.compose("logs", "--no-color")
    for path in stack.secrets.iterdir():
        for word in path.read_text().strip().replace(":", " ").split():
            assert len(word) < 40 or word not in told, path.name


@contextmanager
def load(outside: ExternalPublisher, queue: str, *, a_second: float, longest_seconds: float) -> Iterator[None]:
    """Offer tasks of 0.1 s and more, as somebody outside would, until the end of the block."""
    over, chance = Event(), Random(8)

    def publish() -> None:
        while not over.wait(chance.expovariate(a_second)):
            outside.send(SERVE, [(chance.uniform(0.1, longest_seconds),)], queue=queue)

    publisher = Thread(target=publish)
    publisher.start()
    try:
        yield
    finally:
        over.set()
        publisher.join()


@pytest.mark.timeout(400)
def test_a_roll_under_load_loses_nothing_and_brings_back_what_was_too_new(next_image: str, stack: Stack) -> None:
    tier, service = stack.fleet.tier("high"), "celery-worker-high"
    stack.compose("up", "--detach", "--no-build", "--wait", "broker", service)
    outside = ExternalPublisher.of(stack)
    [too_new] = outside.send("app.tasks.chat.later", [()], queue=tier.queue)
    old = stack.engine.containers(service)
    with load(outside, tier.queue, a_second=10, longest_seconds=1.5):
        broken = replace(stack.engine, variables={**stack.engine.variables, "CELERY_LOGLEVEL": "loud"})
        with pytest.raises(VerdictError, match="the old ones go on: CELERY_LOGLEVEL=loud"):
            roll(broken, service, count=1, grace_seconds=1, ready_seconds=5)
        assert stack.engine.containers(service) == old

        new = replace(stack.engine, variables={**stack.engine.variables, "FLEET_IMAGE": next_image})
        roll_fleet(new, stack.fleet, tier="high", grace_seconds=None, say=print)

    now = stack.engine.inspect(stack.engine.containers(service))
    assert [each["Config"]["Image"] for each in now] == [next_image] * tier.replicas
    ended = outside.expect_nothing_lost(deadline_seconds=60)
    assert ended[too_new][0]["task"] == "app.tasks.chat.later"
    nodes = {report["node"] for reports in ended.values() for report in reports}
    assert len(nodes) == 2 * tier.replicas  # old and new ones took part


@pytest.mark.timeout(400)
def test_the_command_rolls_tiers_and_beat_and_gives_back_what_does_not_end_in_its_grace(stack: Stack) -> None:
    services = [*(f"celery-worker-{tier.name}" for tier in stack.fleet), "celery-beat"]
    stack.compose("up", "--detach", "--no-build", "--wait", "broker", *services)
    old = {service: stack.engine.containers(service) for service in services}
    outside, longest = ExternalPublisher.of(stack), 30.0
    for tier in stack.fleet:
        outside.send(SERVE, [(longest,)], queue=tier.queue)

    with project_in(stack.root, stack.root / "state") as project:
        done = project.command("deploy.roll", "--no-build", "--grace=1", **stack.variables)

    assert done.returncode == 0, done.stderr
    for service in services:
        new = stack.engine.containers(service)
        assert len(new) == len(old[service])
        assert not set(new) & set(old[service])
    ended = outside.expect_nothing_lost(deadline_seconds=2 * longest)
    assert [len(reports) for reports in ended.values()] == [1] * len(stack.fleet.tiers)


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        pytest.param(["--env=DEPLOYTOOLS_FLEET=/none.toml"], 3, ["/none.toml", "no such fleet file"], id="no fleet"),
        pytest.param(
            ["--env=CELERY_BROKER_PASSWORD_FILE=/run/secrets/none"],
            4,
            ["CELERY_BROKER_PASSWORD_FILE=/run/secrets/none", "No such file"],
            id="no secret",
        ),
        pytest.param([], 6, ["redis://fleet@127.0.0.1:1/0", "refused"], id="no broker"),
    ],
)
def test_a_container_that_cannot_start_says_why_in_a_line(
    image: str, options: list[str], exit_code: int, words: list[str]
) -> None:
    broker = "--env=CELERY_BROKER_URL=redis://fleet@127.0.0.1:1/0"
    done = docker("run", "--rm", "--read-only", broker, *options, image, "worker.high")

    [line] = done.stderr.splitlines()
    assert done.returncode == exit_code
    for word in words:
        assert word in line


def test_a_container_whose_password_is_wrong_is_restarted_and_never_ready(stack: Stack) -> None:
    stack.compose("up", "--detach", "--no-build", "--wait", "broker")
    stack.password_file.write_text("wrong\n")
    stack.compose("up", "--detach", "--no-build", "celery-worker-high")

    def restarts() -> list[dict[str, object]]:
        workers = [one for one in stack.containers() if "worker" in one["Name"]]
        return [one for one in workers if one["RestartCount"] >= 2]

    for one in wait_until(restarts, "restarts", deadline_seconds=60, poll_seconds=0.5):
        state = one["State"]
        assert isinstance(state, dict)
        assert state["Health"]["Status"] != "healthy"
    assert "it refuses us (WRONGPASS" in stack.compose("logs", "--no-color", "celery-worker-high")


@pytest.mark.timeout(300)
def test_flower_asks_for_a_password_and_sees_the_workers(stack: Stack) -> None:
    stack.compose("up", "--detach", "--no-build", "--wait", "broker", "celery-worker-low", "flower")
    page = f"http://{stack.address('flower', 5555)}/workers?json=1"
    with pytest.raises(HTTPError, match="401"):
        urlopen(page)
    login = base64.b64encode((stack.secrets / "flower_auth").read_bytes().strip()).decode()

    def workers() -> list[dict[str, object]]:
        with urlopen(Request(page, headers={"Authorization": f"Basic {login}"})) as answer:
            found: list[dict[str, object]] = json.load(answer)["data"]
        return found

    [worker] = wait_until(workers, "a heartbeat", deadline_seconds=60, poll_seconds=1)
    assert str(worker["hostname"]).startswith("low-")


@pytest.mark.timeout(300)
def test_prometheus_sees_every_worker_and_beat(stack: Stack) -> None:
    services = ("broker", *(f"celery-worker-{tier.name}" for tier in stack.fleet), "celery-beat", "prometheus")
    stack.compose("up", "--detach", "--no-build", "--wait", *services)
    page = f"http://{stack.address('prometheus', 9090)}/api/v1/query?query=up%7Bjob%3D%22celery%22%7D"

    def are_up() -> bool:
        with urlopen(page) as answer:
            values = [each["value"][1] for each in json.load(answer)["data"]["result"]]
        assert values == ["1"] * (sum(tier.replicas for tier in stack.fleet) + 1), values
        return True

    wait_until(are_up, "every process to be scraped", deadline_seconds=90, poll_seconds=1)
