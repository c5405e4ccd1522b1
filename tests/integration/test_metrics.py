"""Metrics that equal a ledger, whatever happens to processes, and health that tells the truth."""

import json
import os
import random
import signal
import socket
import time
import urllib.error
import urllib.request
from collections import defaultdict
from functools import partial
from pathlib import Path
from threading import Thread

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploytools.testing.brokers import EmbeddedRedisBroker
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE

Sums = dict[str, float]


def targets(fleet: FleetUnderTest) -> dict[str, str]:
    """Return worker → address, as Prometheus finds them."""
    found = [json.loads(path.read_text())[0] for path in (fleet.project.state / "metrics").glob("*.json")]
    return {target["labels"]["worker"]: target["targets"][0] for target in found}


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def scrape(address: str) -> Sums:
    """Return each series' name → the sum over its labels."""
    sums: Sums = defaultdict(float)
    for family in text_string_to_metric_families(get(address, "/metrics")[1]):
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                continue
            sums[sample.name] += sample.value
    return sums


def address_of(fleet: FleetUnderTest, name: str) -> str:
    return wait_until(lambda: targets(fleet).get(name, ""), f"{name} to say where its metrics are")


def has_done(address: str, count: int) -> bool:
    return scrape(address)["celery_task_completions_total"] >= count


def kill_a_child(pid: int, chance: random.Random) -> bool:
    """Kill a process of a worker's pool; False if it had none, or that one was just being recycled."""
    children = psutil.Process(pid).children()
    if not children:
        return False
    try:
        os.kill(chance.choice(children).pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.only_on("embedded")
@pytest.mark.timeout(240)
def test_counters_equal_the_ledger_although_children_are_recycled_and_killed(shop_fleet: FleetUnderTest) -> None:
    tasks, kills, chance = 5000, 20, random.Random(4)
    worker = shop_fleet.start("counter", MAX_TASKS_PER_CHILD="50")
    address = address_of(shop_fleet, worker.name)
    for _ in range(tasks):
        shop_fleet.send(SERVE, 0.001, queue="counter")
    for kill in range(kills):
        wait_until(partial(has_done, address, kill * 200), "more tasks to be done", deadline_seconds=60)
        wait_until(partial(kill_a_child, worker.program.pid, chance), "a child to kill")
    shop_fleet.expect_nothing_lost(deadline_seconds=90)
    wait_until(partial(has_done, address, tasks), "the last to be counted")

    sums, starts = scrape(address), sum(entry.id in shop_fleet.sent for entry in shop_fleet.ledger.entries("started"))
    assert sums["celery_task_submissions_total"] == tasks
    assert sums["celery_task_completions_total"] == tasks
    assert sums["celery_task_failures_total"] == 0
    # A killed process may have taken a task without the ledger's note, or noted it without the worker's knowledge.
    assert abs(sums["celery_task_wait_seconds_count"] - starts) <= kills
    assert abs(sums["celery_task_duration_seconds_count"] - tasks) <= kills


def test_what_a_tier_did_is_counted_on_every_broker(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    address = address_of(shop_fleet, worker.name)
    good = [shop_fleet.send(SERVE, 0.0, queue="counter") for _ in range(20)]
    bad = [shop_fleet.send("shop.deliver", "/nowhere", queue="counter") for _ in range(3)]
    refused = [shop_fleet.send("shop.refuse", "not in stock", queue="counter")]
    later = [shop_fleet.send(SERVE, 0.0, queue="counter", countdown=1) for _ in range(2)]
    shop_fleet.wait_until_over([*good, *bad, *refused, *later])
    expected = {
        "celery_task_submissions_total": 26,
        "celery_task_completions_total": 22,
        "celery_task_failures_total": 4,
        "celery_task_retries_total": 3,
        "celery_messages_rejected_total": 4,
        "celery_task_wait_seconds_count": 29,
    }

    def all_counted() -> bool:
        sums = scrape(address)
        assert {name: sums[name] for name in expected} == expected
        return True

    wait_until(all_counted, "all to be counted")


@pytest.mark.only_on("embedded")
def test_a_worker_without_its_broker_lives_and_is_not_ready(shop_fleet: FleetUnderTest) -> None:
    address = address_of(shop_fleet, shop_fleet.start("counter").name)
    assert [get(address, path)[0] for path in ("/live", "/ready", "/nothing")] == [200, 200, 404]
    assert isinstance(shop_fleet.broker, EmbeddedRedisBroker)

    outage = Thread(target=shop_fleet.broker.kill, kwargs={"away_seconds": 7})
    outage.start()
    try:
        wait_until(lambda: get(address, "/ready")[0] == 503, "it to be unready", deadline_seconds=5)
        asked_at = time.monotonic()
        assert get(address, "/live")[0] == 200
        assert time.monotonic() - asked_at < 1  # a machine that is busy with other tests; 2 ms on one that is not
    finally:
        outage.join()
    wait_until(lambda: get(address, "/ready")[0] == 200, "it to be ready again")


@pytest.mark.only_on("embedded")
def test_a_port_that_is_taken_is_one_line_and_no_worker(shop_fleet: FleetUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        worker = shop_fleet.launch("counter", CELERY_METRICS_PORT=str(port))
        assert worker.program.wait() == 2
    assert f"CELERY_METRICS_PORT={port}: Address already in use: choose another" in worker.program.log()
    assert "Traceback" not in worker.program.log()


@pytest.mark.only_on("embedded")
def test_where_a_worker_is_read_is_known_only_while_it_runs(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    address_of(shop_fleet, worker.name)
    worker.program.stop()
    assert targets(shop_fleet) == {}

    killed = shop_fleet.start("counter")
    address_of(shop_fleet, killed.name)
    killed.program.kill_all()
    after = shop_fleet.start("counter")
    address_of(shop_fleet, after.name)
    assert set(targets(shop_fleet)) == {after.name}


@pytest.mark.only_on("embedded")
def test_where_a_beat_is_read_is_known_only_while_it_runs(shop_fleet: FleetUnderTest) -> None:
    beat = shop_fleet.start_beat()
    address_of(shop_fleet, "beat")
    beat.stop()
    assert targets(shop_fleet) == {}


@pytest.mark.only_on("redis")
def test_queues_are_told_by_the_leading_beat_alone(shop_fleet: FleetUnderTest) -> None:
    for _ in range(3):
        shop_fleet.send(SERVE, 0.0, queue="counter")
    beats = [shop_fleet.start_beat() for _ in range(2)]
    folder: Path = shop_fleet.project.state / "metrics"
    wait_until(lambda: len(list(folder.glob("*.json"))) == 2, "both beats to serve")
    files = [json.loads((folder / f"{beat.pid}.json").read_text()) for beat in beats]

    def told() -> list[Sums]:
        sums = [scrape(file[0]["targets"][0]) for file in files]
        leads = [each["celery_beat_leader"] for each in sums]
        return sums if sorted(leads) == [0, 1] and sums[leads.index(1)]["celery_broker_up"] else []

    sums = sorted(wait_until(told, "one to lead"), key=lambda each: each["celery_beat_leader"])
    standby, leader = sums
    assert "celery_queue_depth" not in standby
    assert (leader["celery_queue_depth"], leader["celery_dead_letters"], leader["celery_broker_up"]) == (3, 0, 1)
    assert 0 < leader["celery_queue_oldest_seconds"] < 60
    assert leader["celery_broker_memory_bytes"] > 0 or shop_fleet.broker.kind.endswith("+tls")


def test_what_ends_while_a_worker_stops_is_still_told(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 1, seconds=4)
    shop_fleet.occupy("counter", 1, seconds=30)
    shop_fleet.expect_busy(worker, 2)
    address = address_of(shop_fleet, worker.name)

    worker.program.signal(signal.SIGTERM)

    wait_until(lambda: has_done(address, 1), "the end of the first to be told")
    assert worker.program.process.poll() is None
    worker.program.signal(signal.SIGQUIT)
    worker.program.wait()
    wait_until(lambda: worker.name not in targets(shop_fleet), "its target to be gone")
