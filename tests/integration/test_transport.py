"""The hardened Redis transport: what a worker, a connection or Redis itself takes along when it dies, comes back."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker import state

from deploytools.testing.fleet import FleetUnderTest, Worker
from deploytools.testing.waiting import wait_until
from deploytools.transport.channel import ONCE, ConditionalPublish

pytestmark = pytest.mark.only_on("redis")
LEASE_SECONDS = 3.0  # in the shop's fleet file
DELIVERY_LIMIT = 5


@pytest.fixture
def client(shop_fleet: FleetUnderTest) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(shop_fleet.broker.url.replace("redis+socket://", "unix://")) as client:
        yield client


def kill(worker: Worker) -> None:
    os.killpg(worker.program.pid, signal.SIGKILL)
    worker.program.wait()


def dead_letters(client: redis.Redis) -> list[dict[str, str]]:
    return [json.loads(letter) for letter in client.lrange("counter.dead", 0, -1)]


def test_what_a_killed_worker_held_comes_back_when_its_leases_end(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    victim = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 6, seconds=20)
    shop_fleet.expect_busy(victim, 4)
    survivor = shop_fleet.start("counter")

    kill(victim)
    killed_at = time.time()

    shop_fleet.expect_busy(survivor, 4)
    wait_until(lambda: client.hlen("unacked") == 4, "two to wait")
    again = [entry.at for entry in shop_fleet.ledger.entries("started") if entry.node == survivor.name]
    assert min(again) - killed_at < 3 * LEASE_SECONDS


def test_a_task_longer_than_its_lease_runs_once(shop_fleet: FleetUnderTest) -> None:
    for worker in [shop_fleet.launch("counter") for _ in range(2)]:
        worker.wait_until_ready()

    long = shop_fleet.occupy("counter", 2, seconds=3 * LEASE_SECONDS)
    later = shop_fleet.occupy("counter", 2, seconds=0, countdown=3 * LEASE_SECONDS)

    shop_fleet.expect_nothing_lost()
    assert [len(shop_fleet.ledger.starts(id_)) for id_ in (*long, *later)] == [1] * 4


def test_tasks_outlive_a_lost_connection_and_run_once(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    worker = shop_fleet.start("counter")
    running = shop_fleet.occupy("counter", 2, seconds=2 * LEASE_SECONDS)
    shop_fleet.expect_busy(worker, 2)

    shop_fleet.reconnect(worker)

    shop_fleet.expect_nothing_lost()
    assert [len(shop_fleet.ledger.starts(id_)) for id_ in running] == [1, 1]
    wait_until(lambda: client.hlen("unacked") == 0, "the late acknowledgements")


def test_a_take_whose_answer_is_lost_comes_back_although_its_channel_had_a_task_to_end(
    shop_fleet: FleetUnderTest, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    with shop_fleet.app.connection_for_read() as connection, shop_fleet.app.connection_for_read() as other:
        lost: Any = connection.channel()
        witness: Any = other.channel()
        lost.basic_consume("counter", False, held.append, "lost")
        witness.basic_consume("counter", False, held.append, "witness")  # takes nothing, but sweeps
        lost.client.connection = lost.client.connection_pool.get_connection()  # as kombu's poller does
        shop_fleet.send("shop.quick")
        lost._brpop_start()
        lost._brpop_read()
        shop_fleet.send("shop.quick")
        lost._brpop_start()
        wait_until(lambda: client.hlen("unacked") == 2, "the second to be taken")

        lost.client.connection.disconnect()
        monkeypatch.setattr(state, "active_requests", [SimpleNamespace(message=held[0])])  # it runs
        lost.close()
        held[0].ack()

        wait_until(lambda: client.llen("counter") == 1, "the second to be back")
        assert client.hlen("unacked") == 0
        wait_until(lambda: not lost._keeper.is_alive(), "nothing to be kept any more")


def test_a_stopped_worker_gives_back_what_it_had_not_started(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    worker = shop_fleet.start_dev("--prefetch-multiplier=4", concurrency=1)
    ids = shop_fleet.occupy("counter", 6, seconds=1)
    shop_fleet.expect_busy(worker, 1)

    assert worker.program.stop() == 0

    assert client.hlen("unacked") == client.llen("counter.stage") == 0
    assert client.llen("counter") + len(shop_fleet.ledger.over()) == len(ids)
    kept = [json.loads(raw)["headers"]["id"] for raw in reversed(client.lrange("counter", 0, -1))]
    assert kept == ids[-len(kept) :]  # in their order
    shop_fleet.start("counter")
    shop_fleet.expect_nothing_lost()


def test_a_task_that_comes_while_a_worker_stops_does_not_wait_for_its_last_one(shop_fleet: FleetUnderTest) -> None:
    stopping = shop_fleet.start("counter")
    [long] = shop_fleet.occupy("counter", 1, seconds=30)
    shop_fleet.expect_busy(stopping, 1)
    shop_fleet.start("counter")

    stopping.program.signal(signal.SIGTERM)
    quick = [shop_fleet.send("shop.quick") for _ in range(4)]  # both wait for one

    shop_fleet.wait_until_over(quick)
    assert long not in shop_fleet.ledger.over()


@contextmanager
def setting(client: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = str(client.config_get(name)[name])
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


@pytest.mark.only_on("embedded")
def test_a_worker_that_waits_looks_at_a_full_broker_now_and_then(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.wait_until_over([shop_fleet.send("shop.quick")])

    with setting(client, "maxmemory", "1mb"):
        before, began_at = client.info("stats")["total_commands_processed"], time.monotonic()
        time.sleep(3)  # the span that is counted in
        asked = client.info("stats")["total_commands_processed"] - before

    assert asked / (time.monotonic() - began_at) < 200  # commands a second; one that asks without a pause: thousands
    shop_fleet.wait_until_over([shop_fleet.send("shop.quick")])
    assert worker.program.process.poll() is None


@pytest.mark.only_on("embedded")
def test_a_worker_outlives_a_broker_that_does_not_write(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 2, seconds=1)
    shop_fleet.expect_busy(worker, 2)

    with setting(client, "min-replicas-to-write", "1"):  # as a primary does that lost its replicas
        worker.program.wait_for_log("Connection to broker lost", times=5)  # again and again

    shop_fleet.occupy("counter", 2, seconds=0)
    shop_fleet.expect_nothing_lost()
    assert worker.program.process.poll() is None


@pytest.mark.only_on("embedded")
@pytest.mark.parametrize("requeue", [True, False])
def test_a_message_that_could_not_be_rejected_comes_back_with_its_lease(
    shop_fleet: FleetUnderTest, client: redis.Redis, requeue: bool
) -> None:
    held: list[Any] = []
    with shop_fleet.app.connection_for_read() as connection:
        channel: Any = connection.channel()
        channel.basic_consume("counter", False, held.append, "tag")
        channel.client.connection = channel.client.connection_pool.get_connection()  # as kombu's poller does
        shop_fleet.send("shop.quick")
        channel._brpop_start()
        channel._brpop_read()

        with setting(client, "min-replicas-to-write", "1"), pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            held[0].reject(requeue=requeue)
        channel._brpop_start()  # a take that is out may have got something, and that would be held
        with pytest.raises(Empty):
            channel._brpop_read()

        wait_until(lambda: client.llen("counter") == 1, "it to be back")


@pytest.mark.only_on("embedded")
def test_a_message_of_one_step_is_published_once_although_its_publish_is_tried_again(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    client.hset("state", "entry", "0")
    once = ConditionalPublish(key="state", field="entry", before="0", after="1")
    with shop_fleet.app.connection_for_write() as connection:
        channel: Any = connection.channel()
        message = channel.prepare_message("{}", headers={ONCE: once, "id": "x"})
        message["properties"].update(delivery_info={}, delivery_tag="x")

        for _ in range(2):
            channel._put("counter", message)

    [published] = client.lrange("counter", 0, -1)
    assert json.loads(published)["headers"] == {"id": "x"}


GOOD = {"body": "W1swXSwge30sIHt9XQ==", "content-encoding": "utf-8", "content-type": "application/json"}
POISON = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe\x00",
    "a number": b"17",
    "a list": b"[]",
    "null": b"null",
    "empty": b"",
    "no properties": json.dumps({**GOOD, "headers": {}}).encode(),
    "properties of another kind": json.dumps({**GOOD, "headers": {}, "properties": 3}).encode(),
    "no body": json.dumps({"headers": {}, "properties": {"delivery_info": {}, "body_encoding": "base64"}}).encode(),
    "a body that is not base64": json.dumps(
        {**GOOD, "body": "%%%", "headers": {}, "properties": {"delivery_info": {}, "body_encoding": "base64"}}
    ).encode(),
}


def test_messages_that_cannot_be_read_are_dead_letters_and_stop_nobody(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    worker = shop_fleet.start("counter")

    client.lpush("counter", *POISON.values())
    good = shop_fleet.send("shop.quick")

    shop_fleet.wait_until_over([good])
    wait_until(lambda: client.hlen("unacked") == 0, "nothing to be held")
    assert worker.program.process.poll() is None
    assert len(dead_letters(client)) == len(POISON)
    assert all(letter["queue"] == "counter" and letter["error"] for letter in dead_letters(client))
    assert {letter["raw"].encode("latin-1", "replace") for letter in dead_letters(client)} >= {
        b"{",
        b"17",
        b"[]",
        b"null",
    }


def test_a_task_that_nobody_knows_is_a_dead_letter(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    shop_fleet.start("counter")

    unknown = shop_fleet.app.send_task("shop.qiuck").id

    wait_until(lambda: dead_letters(client), "the dead letter")
    assert unknown in dead_letters(client)[0]["raw"]
    assert client.hlen("unacked") == 0


def test_a_task_that_always_kills_its_process_is_a_dead_letter_after_five_tries(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    shop_fleet.start("counter")

    crash = shop_fleet.send("shop.crash")

    wait_until(lambda: dead_letters(client), "the dead letter")
    assert len(shop_fleet.ledger.starts(crash)) == DELIVERY_LIMIT
    assert crash in dead_letters(client)[0]["raw"]
    shop_fleet.expect_routed_to("counter", [shop_fleet.send("shop.quick")])


def test_stock_workers_and_hardened_ones_share_a_queue(shop_fleet: FleetUnderTest) -> None:
    hardened = shop_fleet.start("counter")
    path = shop_fleet.project.root / "fleet.toml"
    path.write_text(path.read_text().replace("lease_seconds", 'transport = "stock"\nlease_seconds'))
    stock = shop_fleet.start("counter")

    shop_fleet.occupy("counter", 60, seconds=0.1)

    shop_fleet.expect_nothing_lost()
    shares = shop_fleet.ledger.shares()
    assert min(shares.get(hardened.name, 0), shares.get(stock.name, 0)) >= 10, shares
