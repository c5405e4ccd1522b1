"""Processes are replaced at once; pools that nobody declares in a fleet but may start by hand lose nothing either."""

import signal
import sys
from itertools import pairwise

import pytest

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until
from deploytools.worker.prefork import MAINTENANCE_SECONDS
from deploytools.worker.synthetic import SERVE


@pytest.mark.only_on("redis")
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_without_processes_runs_a_sustained_load_to_its_end(shop_fleet: FleetUnderTest, pool: str) -> None:
    worker = shop_fleet.start_by_hand("counter", f"--pool={pool}", "--concurrency=4")
    for _ in range(300):
        shop_fleet.send(SERVE, 0.005, queue="counter")
    shop_fleet.reconnect(worker)
    for _ in range(300):
        shop_fleet.send(SERVE, 0.005, queue="counter")

    shop_fleet.expect_nothing_lost()
    assert worker.program.stop() == 0
    assert shop_fleet.depth("counter") == 0


@pytest.mark.only_on("redis")
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_second_retry_without_processes_is_a_retry(shop_fleet: FleetUnderTest, pool: str) -> None:
    shop_fleet.start_by_hand("counter", f"--pool={pool}")

    task_id = shop_fleet.send("shop.flaky", 2)

    assert shop_fleet.wait_until_over([task_id]) == {task_id: "SUCCESS"}
    assert shop_fleet.depth_of("counter.dead") == 0


@pytest.mark.only_on("redis")
def test_what_threads_held_when_they_were_killed_comes_back(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start_by_hand("counter", "--pool=threads", "--concurrency=4")
    shop_fleet.occupy("counter", 4, 4.0)
    shop_fleet.expect_busy(worker, 4)
    worker.program.kill_all()

    shop_fleet.start("counter")

    shop_fleet.expect_nothing_lost()


@pytest.mark.only_on("embedded")
def test_greenlets_are_refused_with_one_line(shop_fleet: FleetUnderTest) -> None:
    argv = [sys.executable, "-m", "deploytools.celery", "-A", "shop:app", "worker", "--queues=counter", "--pool=gevent"]

    refused = shop_fleet.project.run(*argv, CELERY_BROKER_URL=shop_fleet.broker.url)

    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines()[-1].startswith("celery: --pool: ")
    assert "Traceback" not in refused.stderr


@pytest.mark.only_on("embedded")
def test_a_process_that_is_recycled_is_replaced_before_the_pool_is_maintained(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start_by_hand("counter", "--concurrency=1", "--max-tasks-per-child=1")
    for _ in range(40):  # about six of them would wait, for up to five seconds
        shop_fleet.send(SERVE, 0.0, queue="counter")

    shop_fleet.expect_nothing_lost(deadline_seconds=60)
    ends = [entry.at for entry in shop_fleet.ledger.entries("ended")]
    assert max(after - before for before, after in pairwise(ends)) < MAINTENANCE_SECONDS / 2


@pytest.mark.only_on("embedded")
def test_what_a_process_got_just_before_a_shutdown_is_run_once_and_waited_for(shop_fleet: FleetUnderTest) -> None:
    worker = shop_fleet.start_by_hand("counter", "--concurrency=1")
    shop_fleet.wait_until_over([first := shop_fleet.send(SERVE, 0.0, queue="counter")])
    inspect = shop_fleet.app.control.inspect([worker.name])
    wait_until(lambda: (inspect.active() or {}).get(worker.name) == [], "its end to be heard of")
    [process] = worker.program.children()
    process.suspend()  # it will say nothing of what it gets
    task = shop_fleet.send(SERVE, 0.0, queue="counter")
    worker.program.wait_for_log(f"[{task}] received")
    for _ in range(2):  # its main process has gone on since, so the task is in the pipe
        shop_fleet.wait_for_answer(worker)

    worker.program.signal(signal.SIGTERM)
    wait_until(lambda: not shop_fleet.app.control.ping([worker.name], timeout=1), "it to have left its loop")
    process.resume()

    assert worker.program.wait(deadline_seconds=20) == 0  # 30 s is what a process waits for its result to be read
    assert shop_fleet.ledger.over() == {first: "SUCCESS", task: "SUCCESS"}
    assert shop_fleet.depth("counter") == 0
