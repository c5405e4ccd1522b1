"""A worker takes no more than it can run, so that what waits is still in the broker, for any worker to take."""

import pytest

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

# From RabbitMQ 4 on, prefetch is a number a consumer (a queue) is given once: it counts for each queue of a worker, and
# tasks with an ETA use it up.
dynamic_prefetch = pytest.mark.only_on("redis")

COUNTER_MAX = 4  # processes of a worker of the shop's counter
DEV_CONCURRENCY = 2


def test_a_busy_worker_holds_one_task_for_each_process_it_may_have(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")

    shop_fleet.occupy("counter", 16, seconds=0.1)

    shop_fleet.expect_nothing_lost()
    shop_fleet.expect_held_at_most(worker, COUNTER_MAX)


def test_what_a_full_worker_cannot_run_stays_in_the_broker(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 10, seconds=6)

    shop_fleet.expect_busy(worker, COUNTER_MAX)

    assert shop_fleet.depth("counter") == 10 - COUNTER_MAX


@dynamic_prefetch
def test_a_pool_of_fixed_size_holds_one_task_a_process(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start_dev(concurrency=DEV_CONCURRENCY)

    shop_fleet.occupy("counter", 8, seconds=0.1)
    shop_fleet.occupy("store_room", 8, seconds=0.1)

    shop_fleet.expect_nothing_lost()
    shop_fleet.expect_held_at_most(worker, DEV_CONCURRENCY)


def test_a_declared_multiplier_is_what_a_worker_holds(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("store_room", "--prefetch-multiplier=3")
    shop_fleet.occupy("store_room", 10, seconds=6)

    wait_until(lambda: shop_fleet.depth("store_room") == 10 - 3 * 2, "three a process to be taken")

    shop_fleet.expect_held_at_most(worker, 3 * 2)


def test_early_acknowledgement_reserves_a_second_task_for_each_process(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start_dev(concurrency=DEV_CONCURRENCY)

    for _ in range(12):
        shop_fleet.send("shop.early_nap", 0.1)

    shop_fleet.expect_nothing_lost()
    shop_fleet.expect_held_at_most(worker, 2 * DEV_CONCURRENCY)


@pytest.mark.only_on("redis")
def test_disable_prefetch_takes_only_what_runs_even_with_early_acknowledgement(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start_dev("--disable-prefetch", concurrency=DEV_CONCURRENCY)

    for _ in range(12):
        shop_fleet.send("shop.early_nap", 0.1)

    shop_fleet.expect_nothing_lost()
    shop_fleet.expect_held_at_most(worker, DEV_CONCURRENCY)


@dynamic_prefetch
def test_tasks_with_an_eta_do_not_take_the_place_of_tasks_that_are_due(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    later = shop_fleet.occupy("counter", 6, seconds=0, countdown=15)
    wait_until(lambda: shop_fleet.depth("counter") == 0, "the later ones to be taken")

    now = shop_fleet.occupy("counter", 12, seconds=0.1)

    shop_fleet.wait_until_over(now)
    assert not shop_fleet.ledger.starts(later[0])
    shop_fleet.expect_held_at_most(worker, COUNTER_MAX, of=now)
    shop_fleet.expect_nothing_lost()


def test_a_worker_holds_no_more_after_its_broker_was_away(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.reconnect(worker)

    shop_fleet.occupy("counter", 16, seconds=0.1)

    shop_fleet.expect_nothing_lost()
    shop_fleet.expect_held_at_most(worker, COUNTER_MAX)


def test_two_workers_share_a_backlog(shop_fleet: FleetUnderTest) -> None:
    workers = [shop_fleet.launch("counter") for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()

    shop_fleet.occupy("counter", 60, seconds=0.1)

    shop_fleet.expect_nothing_lost()
    shares = shop_fleet.ledger.shares()
    assert min(shares.get(worker.name, 0) for worker in workers) >= 60 // 4, shares


def test_a_long_task_does_not_hold_short_ones_behind_it(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")
    long = shop_fleet.occupy("counter", 1, seconds=25)
    wait_until(lambda: shop_fleet.ledger.starts(long[0]), "the long task to start")

    short = shop_fleet.occupy("counter", 30, seconds=0.02)

    shop_fleet.wait_until_over(short, deadline_seconds=20)
    assert long[0] not in shop_fleet.ledger.over()
