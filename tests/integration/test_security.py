"""Certificates are checked, passwords are changed while the fleet runs, and are shown to nobody."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploytools.testing.brokers import Broker, SecureRedisBroker
from deploytools.testing.fleet import FleetUnderTest

pytestmark = pytest.mark.only_on("redis:8.0+tls")


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
