"""Certificates are checked, passwords are changed while the fleet runs, and are shown to nobody."""

import base64
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest
import redis
from celery.signals import before_task_publish

from deploytools.testing.brokers import Broker, SecureRedisBroker
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until
from deploytools.worker.signing import Signing

SECURE = pytest.mark.only_on("redis:8.0+tls")


@pytest.fixture
def secure(broker: Broker) -> SecureRedisBroker:
    assert isinstance(broker, SecureRedisBroker)
    return broker


@pytest.fixture
def password_file(tmp_path: Path, secure: SecureRedisBroker) -> Iterator[Path]:
    """Return a file with the password; the broker's user has its own again afterwards."""
    path = tmp_path / "password"
    path.write_text(f"{secure.password}\n")
    yield path
    secure.let_in(secure.password)


@SECURE
def test_a_broker_with_an_unknown_certificate_gets_no_password(
    shop_fleet: FleetUnderTest, secure: SecureRedisBroker
) -> None:
    unverified = secure.url.partition("?")[0]

    launched = shop_fleet.project.command("worker.counter", CELERY_BROKER_URL=unverified)
    by_hand = shop_fleet.project.start(
        [sys.executable, "-m", "deploytools.celery", "-A", "shop:app", "worker", "--queues=counter"],
        CELERY_BROKER_URL=unverified,
    )

    assert launched.returncode == 6
    assert "its certificate is not trusted" in launched.stderr
    assert secure.password not in launched.stderr
    by_hand.wait_for_log("CERTIFICATE_VERIFY_FAILED")


@SECURE
def test_the_password_changes_while_the_fleet_runs(
    shop_fleet: FleetUnderTest, secure: SecureRedisBroker, password_file: Path
) -> None:
    without = secure.url.replace(f":{secure.password}@", "@")
    worker = shop_fleet.start("counter", CELERY_BROKER_URL=without, CELERY_BROKER_PASSWORD_FILE=str(password_file))
    before = shop_fleet.send("shop.quick")
    shop_fleet.wait_until_over([before])

    secure.let_in(secure.password, "the-new-one")
    password_file.write_text("the-new-one\n")
    shop_fleet.reconnect(worker)
    between = shop_fleet.send("shop.quick")
    shop_fleet.wait_until_over([between])
    waiting = [shop_fleet.send("shop.quick") for _ in range(3)]
    secure.let_in("the-new-one")
    secure.drop_connections()

    worker.program.wait_for_log("Connected to ", times=3)
    shop_fleet.wait_until_over(waiting)
    assert worker.program.process.poll() is None


@SECURE
def test_a_password_shows_in_no_log_no_title_no_answer_and_no_error(
    shop_fleet: FleetUnderTest, secure: SecureRedisBroker
) -> None:
    url = {"CELERY_BROKER_URL": secure.url}
    worker, beat = shop_fleet.start("counter"), shop_fleet.start_beat()
    shop_fleet.expect_routed_to("counter", [shop_fleet.send("shop.quick")])
    beat.wait_for_log("beat: leads")
    celery = (sys.executable, "-m", "deploytools.celery", "-A", "shop:app")
    answers = [
        shop_fleet.project.run(*celery, "inspect", "conf", **url),
        shop_fleet.project.run(*celery, "report", **url),
        *(shop_fleet.command(*words) for words in (["queues"], ["worker.counter", "--dry"], ["broker.status"])),
        shop_fleet.project.command("worker.counter", CELERY_BROKER_URL=secure.url.replace("fleet-", "nobody-")),
        shop_fleet.project.command("worker.counter", CELERY_BROKER_URL=secure.url.replace("rediss", "redizz")),
    ]
    worker.program.stop()

    said = {" ".join(map(str, answer.args)): answer.stdout + answer.stderr for answer in answers}
    said |= {log.name: log.read_text() for log in shop_fleet.project.logs.iterdir()}
    said["titles"] = "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    assert [where for where, text in said.items() if secure.password in text] == []
    assert all(text for text in said.values())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file with a new key, and below it the one that this process signs with."""
    path = tmp_path / "keys"
    path.write_text(f"{secrets.token_hex(32)}\n{secrets.token_hex(32)}\n")
    return path


@contextmanager
def signing(key_file: Path) -> Iterator[None]:
    """Sign what this process publishes, with the older key."""
    Signing((key_file.read_text().splitlines()[1].encode(),)).connect()
    try:
        yield
    finally:
        before_task_publish.disconnect(dispatch_uid="deploytools.signing")


def dead_tasks(fleet: FleetUnderTest) -> list[str]:
    done = fleet.command("dead.list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["task_id"] for line in done.stdout.splitlines()]


def test_only_signed_tasks_are_run_and_what_workers_publish_is_signed(
    shop_fleet: FleetUnderTest, key_file: Path
) -> None:
    shop_fleet.start("counter", CELERY_SIGNING_KEY_FILE=str(key_file))

    unsigned = shop_fleet.send("shop.quick")
    with signing(key_file):
        signed = [shop_fleet.send("shop.quick"), shop_fleet.send("shop.flaky")]  # which publishes its retry itself

    assert set(shop_fleet.wait_until_over(signed).values()) == {"SUCCESS"}
    wait_until(lambda: dead_tasks(shop_fleet) == [unsigned], "the unsigned one to be a dead letter")
    assert unsigned not in shop_fleet.ledger.over()


@pytest.mark.only_on("redis")
def test_ticks_and_compressed_tasks_are_signed_as_well(shop_fleet: FleetUnderTest, key_file: Path) -> None:
    env = {"CELERY_SIGNING_KEY_FILE": str(key_file)}
    shop_fleet.start("counter", **env)
    with signing(key_file):
        compressed = shop_fleet.send("shop.nap", 0, queue="counter", compression="zlib")

    shop_fleet.start_beat(SHOP_TICK_SECONDS="1", **env)

    assert shop_fleet.wait_until_over([compressed]) == {compressed: "SUCCESS"}
    wait_until(lambda: len(shop_fleet.ledger.over()) >= 3, "two ticks to be run")
    assert dead_tasks(shop_fleet) == []


@pytest.mark.only_on("redis")
def test_a_changed_message_and_a_second_copy_are_not_run(shop_fleet: FleetUnderTest, key_file: Path) -> None:
    with signing(key_file):
        task_id = shop_fleet.send("shop.nap", 0.01, queue="counter")
    with redis.Redis.from_url(shop_fleet.broker.url.replace("redis+socket://", "unix://")) as client:
        [raw] = cast(list[bytes], client.lrange("counter", 0, -1))
    message = json.loads(raw)
    changes = [
        message | {"headers": message["headers"] | {"task": "shop.crash"}},
        message | {"headers": message["headers"] | {"timelimit": [None, 1]}},
        message | {"headers": message["headers"] | {"x_new": 1}},
        message | {"body": base64.b64encode(b"[[60], {}, {}]").decode()},
    ]
    shop_fleet.broker.put_raw("counter", [json.dumps(change).encode() for change in changes])

    shop_fleet.start("counter", CELERY_SIGNING_KEY_FILE=str(key_file))
    shop_fleet.wait_until_over([task_id])
    wait_until(lambda: len(dead_tasks(shop_fleet)) == len(changes), "the changed ones to be dead letters")
    shop_fleet.broker.put_raw("counter", [raw])

    wait_until(lambda: len(dead_tasks(shop_fleet)) == len(changes) + 1, "the copy to be a dead letter")
    assert len(shop_fleet.ledger.starts(task_id)) == 1


@pytest.mark.only_on("redis")
def test_a_signed_task_whose_worker_died_runs_again(shop_fleet: FleetUnderTest, key_file: Path) -> None:
    env = {"CELERY_SIGNING_KEY_FILE": str(key_file)}
    worker = shop_fleet.start("counter", **env)
    with signing(key_file):
        task_id = shop_fleet.send("shop.nap", 4, queue="counter")
    shop_fleet.expect_busy(worker, 1)
    worker.program.kill_all()

    shop_fleet.start("counter", **env)

    assert shop_fleet.wait_until_over([task_id]) == {task_id: "SUCCESS"}


def test_a_short_key_is_one_clear_error(project: ProjectUnderTest, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("secret\n")

    project.broker.start()

    done = project.command("inspect", CELERY_SIGNING_KEY_FILE=str(tmp_path / "short"))

    assert done.returncode == 4
    assert "a key has at least 32 characters" in done.stderr
    assert "Traceback" not in done.stderr
