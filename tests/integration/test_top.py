"""`top` on real workers: it shows what they do, pauses a tier and resumes it, and nothing is lost."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from deploytools.inspect.top.gather import Gatherer
from deploytools.inspect.top.sample import TierSample
from deploytools.metrics.endpoint import TARGETS_FOLDER
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until
from deploytools.worker.synthetic import SERVE

pytestmark = pytest.mark.only_on("embedded")


@pytest.fixture
def gatherer(shop_fleet: FleetUnderTest) -> Iterator[Gatherer]:
    folder = shop_fleet.project.state / TARGETS_FOLDER
    with closing(Gatherer(shop_fleet.app, shop_fleet.fleet, folder)) as gatherer:
        yield gatherer


def test_what_happens_while_it_looks_is_told_by_tier(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")
    with ThreadPoolExecutor(1) as thread:
        looking = thread.submit(shop_fleet.command, "top", "--json", "--seconds", "3")
        while not looking.done():
            shop_fleet.wait_until_over([shop_fleet.send(SERVE, 0.0, queue="counter")])
    told: dict[str, Any] = json.loads(looking.result().stdout)
    counter = told["tiers"]["counter"]
    assert told["is_broker_up"]
    assert counter["in_per_second"] > 0
    assert counter["out_per_second"] > 0
    assert 0 < counter["p50_seconds"] <= counter["p99_seconds"]
    assert (counter["most"], counter["is_paused"], counter["failures"], counter["dead"]) == (4, False, 0, 0)
    assert told["tiers"]["store_room"]["most"] == 0


def test_a_paused_tier_takes_nothing_and_a_resumed_one_loses_nothing(
    shop_fleet: FleetUnderTest, gatherer: Gatherer
) -> None:
    worker = shop_fleet.start("counter")

    def counter() -> TierSample:
        return gatherer.take().tiers[0]

    wait_until(lambda: counter().workers == (worker.name,), "the worker to be seen")
    before = shop_fleet.occupy("counter", 20, 0.1)
    gatherer.pause("counter", [worker.name])
    wait_until(lambda: counter().is_paused, "the tier to be paused")
    wait_until(lambda: counter().busy == 0 and shop_fleet.busy(worker) == 0, "what it held to end")
    held_back, done = shop_fleet.depth("counter"), len(shop_fleet.ledger.entries("started"))

    during = shop_fleet.occupy("counter", 20, 0.01)
    shop_fleet.start("store_room")  # takes longer than a worker needs to take a task
    other = shop_fleet.send(SERVE, 0.0, queue="store-room")
    shop_fleet.wait_until_over([other])
    assert counter().depth == shop_fleet.depth("counter") == held_back + len(during)
    assert len([entry for entry in shop_fleet.ledger.entries("started") if entry.id != other]) == done

    gatherer.resume("counter", [worker.name])
    shop_fleet.expect_nothing_lost()
    wait_until(lambda: not counter().is_paused, "the tier to be resumed")
    assert all(len(shop_fleet.ledger.starts(id_)) == 1 for id_ in [*before, *during])
