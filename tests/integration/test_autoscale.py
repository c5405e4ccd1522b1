"""A worker's pool starts as declared, grows with the backlog, shrinks when idle, and loses nothing on the way."""

import time

import pytest

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

# The shop's counter.
START, LEAST, MOST = 2, 1, 4
IDLE_SECONDS = 1.5


def test_a_pool_starts_at_the_declared_concurrency(shop_fleet: FleetUnderTest) -> None:
    path = shop_fleet.project.root / "fleet.toml"
    path.write_text(path.read_text().replace("idle_seconds = 1.5", "idle_seconds = 60"))
    worker = shop_fleet.start("counter")

    assert worker.processes() == START


def test_a_backlog_grows_the_pool_to_its_upper_bound(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")

    shop_fleet.occupy("counter", 20, seconds=0.3)

    shop_fleet.expect_scaled_to(worker, MOST)
    shop_fleet.expect_nothing_lost()
    assert max(worker.sizes()) == MOST


def test_an_idle_pool_returns_to_its_lower_bound_one_process_at_a_time(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 20, seconds=0.2)
    shop_fleet.expect_scaled_to(worker, MOST)

    shop_fleet.expect_scaled_to(worker, LEAST)

    assert worker.sizes()[-(MOST - LEAST) :] == [3, 2, 1]
    shop_fleet.expect_nothing_lost()


def test_a_trickle_neither_holds_the_pool_up_nor_makes_it_swing(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.occupy("counter", 20, seconds=0.1)
    shop_fleet.expect_scaled_to(worker, MOST)

    def trickle_until_small() -> bool:
        shop_fleet.occupy("counter", 1, seconds=0.005)
        time.sleep(0.1)
        return worker.processes() <= START

    wait_until(trickle_until_small, "the pool to shrink although messages keep arriving")

    down = worker.sizes()[worker.sizes().index(MOST) :]
    assert down == sorted(down, reverse=True), f"it grew again: {down}"
    shop_fleet.expect_nothing_lost()


def test_tasks_that_become_due_together_grow_the_pool(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")

    shop_fleet.occupy("counter", 12, seconds=0.5, countdown=1.5)

    shop_fleet.expect_scaled_to(worker, MOST)
    shop_fleet.expect_nothing_lost()


def test_a_pool_grows_after_its_broker_was_away(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    shop_fleet.reconnect(worker)

    shop_fleet.occupy("counter", 20, seconds=1)

    shop_fleet.expect_scaled_to(worker, MOST)
    shop_fleet.expect_busy(worker, MOST)
    shop_fleet.expect_nothing_lost()


def test_a_busy_process_is_never_stopped(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")
    ids = shop_fleet.occupy("counter", MOST, seconds=6)
    shop_fleet.expect_busy(worker, MOST)

    shop_fleet.app.control.autoscale(max=1, min=1, destination=[worker.name], reply=True)

    shop_fleet.expect_nothing_lost()
    assert [len(shop_fleet.ledger.starts(id_)) for id_ in ids] == [1] * MOST, worker.program.log()
    shop_fleet.expect_scaled_to(worker, 1)


def test_two_workers_on_one_queue_grow_and_shrink(shop_fleet: FleetUnderTest) -> None:
    workers = [shop_fleet.launch("counter") for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()

    shop_fleet.occupy("counter", 40, seconds=0.3)

    for worker in workers:
        shop_fleet.expect_scaled_to(worker, MOST)
    for worker in workers:
        shop_fleet.expect_scaled_to(worker, LEAST)
    shop_fleet.expect_nothing_lost()


@pytest.mark.only_on("redis")  # from RabbitMQ 4 on, a worker's prefetch cannot be changed
def test_bounds_can_be_changed_while_it_runs(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter")

    def is_told() -> bool:  # it hears from a moment after its log says that it is ready
        control = shop_fleet.app.control
        return "ok" in str(control.autoscale(max=6, min=3, destination=[worker.name], reply=True, timeout=5))

    wait_until(is_told, "an answer")
    shop_fleet.expect_scaled_to(worker, 3)
    shop_fleet.occupy("counter", 30, seconds=0.4)
    shop_fleet.expect_scaled_to(worker, 6)

    shop_fleet.app.control.autoscale(max=2, min=2, destination=[worker.name], reply=True)
    shop_fleet.expect_scaled_to(worker, 2)
    shop_fleet.expect_nothing_lost()


def test_processes_are_replaced_while_the_pool_grows_and_shrinks(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start("counter", "--max-tasks-per-child=3")

    for _ in range(2):
        shop_fleet.occupy("counter", 60, seconds=0.02)
        shop_fleet.wait_until_over()
        shop_fleet.expect_scaled_to(worker, LEAST)

    shop_fleet.expect_nothing_lost()
    assert len({entry.pid for entry in shop_fleet.ledger.entries("started")}) > 120 / 4
