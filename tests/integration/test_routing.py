"""Every message reaches the one tier it belongs to, on every broker."""

import json
import sys
from typing import Any

import pytest
from celery import chain, chord, group
from kombu import Producer

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

PRINT_OFFERS = """
import json, random
from app.workload import workload
offers = workload.prepare().offers
print(json.dumps({offer.task: offer.make_arguments(random.Random(1)) for offer in offers}))
"""


def offers_of_the_app(fleet: FleetUnderTest) -> dict[str, list[Any]]:
    """Return task name → arguments, one real input for each of the app's tasks."""
    done = fleet.project.run(sys.executable, "-c", PRINT_OFFERS)
    assert done.returncode == 0, done.stderr
    offers: dict[str, list[Any]] = json.loads(done.stdout)
    return offers


def test_each_of_the_apps_tasks_runs_once_on_the_tier_that_declares_it(fleet: FleetUnderTest) -> None:
    offers = offers_of_the_app(fleet)
    fleet.start_all()

    sent = {task: fleet.send(task, *arguments) for task, arguments in offers.items()}

    for task, id_ in sent.items():
        fleet.expect_routed_to(fleet.fleet.tier_of_task(task).name, [id_])
    fleet.expect_nothing_lost()


def test_what_beat_sends_runs_on_its_tier(fleet: FleetUnderTest) -> None:
    fleet.start_all()
    fleet.start_beat(APP_CLEANUP_EVERY_SECONDS="0.5")

    wait_until(lambda: len(fleet.ledger.over()) >= 2, "two ticks to be run")

    assert {entry.queue for entry in fleet.ledger.entries("started")} == {"low_priority"}
    assert {entry.node.partition("-")[0] for entry in fleet.ledger.entries("started")} == {"low"}


def test_an_explicit_queue_overrides_the_declared_route(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start_all()

    elsewhere = shop_fleet.send("shop.nap", 0, queue="counter")
    at_home = shop_fleet.send("shop.nap", 0)

    shop_fleet.expect_routed_to("counter", [elsewhere])
    shop_fleet.expect_routed_to("store_room", [at_home])


def test_a_task_no_tier_declares_runs_on_the_default_tier(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start_all()

    shop_fleet.expect_routed_to("counter", [shop_fleet.send("deploytools.synthetic.serve", 0)])


@pytest.mark.parametrize("queue", [None, "store-room"])
def test_a_retry_comes_back_to_the_queue_the_task_was_sent_to(shop_fleet: FleetUnderTest, queue: str | None) -> None:
    shop_fleet.start_all()

    flaky = shop_fleet.send("shop.flaky", **({"queue": queue} if queue else {}))
    shop_fleet.wait_until_over([flaky])

    assert [entry.queue for entry in shop_fleet.ledger.starts(flaky)] == [queue or "counter"] * 2


def test_the_parts_of_a_canvas_run_each_on_its_own_tier(shop_fleet: FleetUnderTest) -> None:
    results = f"file://{shop_fleet.project.logs}"
    shop_fleet.app.conf.update(result_backend=results)
    for tier in shop_fleet.fleet:
        shop_fleet.launch(tier.name, CELERY_RESULT_BACKEND=results)

    app = shop_fleet.app
    quick = app.signature("shop.quick", immutable=True)
    nap = app.signature("shop.nap", args=(0,), immutable=True)

    chain(quick.clone(), nap.clone(), quick.clone(), app=app).apply_async()
    group([quick.clone(), nap.clone()], app=app).apply_async()
    chord([quick.clone(), nap.clone()], nap.clone(), app=app).apply_async()

    def queues(task: str) -> list[str]:
        return [entry.queue for entry in shop_fleet.ledger.entries("ended") if entry.task == task]

    wait_until(lambda: len(queues("shop.quick")) == len(queues("shop.nap")) == 4, "eight tasks to be over")
    assert set(queues("shop.quick")) == {"counter"}
    assert set(queues("shop.nap")) == {"store-room"}


def test_a_task_that_no_worker_knows_stops_nothing(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")

    shop_fleet.app.send_task("shop.qiuck")  # a typo; the default tier gets it
    shop_fleet.expect_routed_to("counter", [shop_fleet.send("shop.quick")])

    assert [entry.task for entry in shop_fleet.ledger.entries("unknown")] == ["shop.qiuck"]


def test_a_misspelt_queue_is_an_error_at_the_publisher(shop_fleet: FleetUnderTest) -> None:
    with pytest.raises(Exception, match="contuer"):
        shop_fleet.app.send_task("shop.quick", queue="contuer")


def test_a_worker_for_development_takes_every_queue(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start_dev()

    ids = [shop_fleet.send("shop.quick"), shop_fleet.send("shop.nap", 0)]

    shop_fleet.wait_until_over(ids)
    assert {shop_fleet.ledger.starts(id_)[0].queue for id_ in ids} == {"counter", "store-room"}


def test_a_tiers_worker_leaves_the_other_tiers_messages_alone(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")
    waiting = shop_fleet.occupy("store_room", 3, seconds=0)

    shop_fleet.expect_routed_to("counter", shop_fleet.occupy("counter", 5, seconds=0))

    assert shop_fleet.depth("store_room") == len(waiting)
    assert not [entry for entry in shop_fleet.ledger.entries() if entry.id in waiting]


def test_a_message_published_through_an_exchange_reaches_one_queue_once(shop_fleet: FleetUnderTest) -> None:
    for worker in shop_fleet.start_all().values():  # workers declare queues, exchanges and bindings
        worker.program.stop()

    counter, _ = shop_fleet.fleet.queues()
    with shop_fleet.app.connection_for_write() as connection:
        Producer(connection).publish({}, exchange=counter.exchange, routing_key=counter.routing_key)

    one_copy = {"counter": 1, "store_room": 0}
    wait_until(lambda: {tier: shop_fleet.depth(tier) for tier in one_copy} == one_copy, "one copy")
