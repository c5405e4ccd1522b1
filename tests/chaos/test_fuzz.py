"""Messages that are almost right: each is run or a dead letter, and no worker ends of them."""

import pytest
import redis

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.fuzz import fuzzed
from deploytools.testing.processes import EndedError
from deploytools.testing.waiting import wait_until

MESSAGES_PER_KILL = 34  # 10,000 in a full run of 300


@pytest.mark.only_on("redis")
def test_no_message_ends_a_worker_and_none_vanishes(shop_fleet: FleetUnderTest, kills: int, seed: int) -> None:
    count = kills * MESSAGES_PER_KILL
    with redis.Redis.from_url(shop_fleet.broker.url.replace("redis+socket://", "unix://")) as client:
        shop_fleet.send("shop.quick")
        good = client.rpop("counter")
        shop_fleet.sent.clear()
        worker = shop_fleet.start("counter")

        for message in fuzzed(good, count, seed=seed):
            client.lpush("counter", message)

        def left() -> dict[str, int]:
            if worker.program.process.poll() is not None:
                raise EndedError(f"the worker ended: …{worker.program.log()[-3000:]}")
            return {key: client.llen(key) for key in ("counter", "counter.stage")} | {"unacked": client.hlen("unacked")}

        def nothing_left() -> bool:
            assert not any(left().values()), str(left())
            return True

        wait_until(nothing_left, f"{count} messages to be handled", deadline_seconds=30 + count / 200)
        run = len(shop_fleet.ledger.entries("started"))
        dead = client.llen("counter.dead")
        assert run + dead == count
        assert min(run, dead) > 0.1 * count
        assert worker.program.process.poll() is None
        shop_fleet.expect_routed_to("counter", [shop_fleet.send("shop.quick")])
