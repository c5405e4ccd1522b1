"""Dead letters: what nobody could run is kept, shown, and can be given back, on every broker."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from deploytools.inspect.dead import DeadLetter, read_dead_letters
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

DELIVERY_LIMIT = 5


def kept(fleet: FleetUnderTest, count: int) -> list[DeadLetter]:
    """Return the dead letters once there are so many. A command takes a second; this may ask often."""

    def that_many() -> list[DeadLetter]:
        found = read_dead_letters(fleet.app, fleet.fleet)
        assert len(found) == count
        return found

    return wait_until(that_many, f"{count} dead letters")


def letters(fleet: FleetUnderTest, *options: str) -> list[dict[str, Any]]:
    done = fleet.command("dead.list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_task_that_exhausted_its_retries_is_kept_and_can_be_given_back_once(
    shop_fleet: FleetUnderTest, tmp_path: Path
) -> None:
    address = tmp_path / "house"
    shop_fleet.start("counter")
    task_id = shop_fleet.send("shop.deliver", str(address))
    kept(shop_fleet, 1)
    [letter] = letters(shop_fleet)
    assert (letter["tier"], letter["task"], letter["task_id"]) == ("counter", "shop.deliver", task_id)
    if shop_fleet.broker.is_redis:  # RabbitMQ keeps the message, not why it was rejected
        assert letter["reason"] == "retries exhausted"
        assert f"nobody at {address}" in letter["error"]

    address.touch()
    once, twice = shop_fleet.command("dead.replay"), shop_fleet.command("dead.replay")

    assert (once.stdout, twice.stdout) == (
        "replayed 1, left 0 that cannot be read\n",
        "replayed 0, left 0 that cannot be read\n",
    )
    wait_until(lambda: shop_fleet.ledger.over().get(task_id) == "SUCCESS", "the task to succeed")
    assert not read_dead_letters(shop_fleet.app, shop_fleet.fleet)


def test_a_task_that_always_kills_its_process_is_tried_five_times(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")

    crash = shop_fleet.send("shop.crash")

    [letter] = kept(shop_fleet, 1)
    assert (letter.task, letter.reason) == ("shop.crash", "delivery limit")
    assert len(shop_fleet.ledger.starts(crash)) == DELIVERY_LIMIT
    shop_fleet.expect_routed_to("counter", [shop_fleet.send("shop.quick")])


def test_a_task_that_rejects_itself_is_kept_with_what_it_said(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")

    shop_fleet.send("shop.refuse", "not in stock")

    [letter] = kept(shop_fleet, 1)
    assert letter.task == "shop.refuse"
    if shop_fleet.broker.is_redis:
        assert (letter.reason, letter.error) == ("rejected", "ValueError('not in stock')")


def test_letters_are_chosen_by_tier_task_and_reason_and_purged_only_on_purpose(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter")
    for name in ("shop.qiuck", "shop.qiuck", "shop.dleiver"):
        shop_fleet.app.send_task(name)
    kept(shop_fleet, 3)

    assert letters(shop_fleet, "--tier", "store_room") == []
    if shop_fleet.broker.is_redis:
        assert len(letters(shop_fleet, "--reason", "unknown task")) == 3
    [one] = letters(shop_fleet, "--tier", "counter", "--task", "shop.dleiver")
    assert json.loads(shop_fleet.command("dead.show", one["id"]).stdout) == one
    refused = shop_fleet.command("dead.purge", "--task", "shop.qiuck")
    assert (refused.returncode, "add --yes" in refused.stderr) == (4, True)
    assert shop_fleet.command("dead.purge", "--task", "shop.qiuck", "--yes").stdout == "purged 2\n"
    assert [asdict(letter) for letter in kept(shop_fleet, 1)] == [one]


@pytest.mark.only_on("embedded")
def test_wrong_choices_are_one_clear_line(shop_fleet: FleetUnderTest) -> None:
    for words in (("dead.list", "--tier", "x"), ("dead.list", "--reason", "x"), ("dead.replay", "--id", "x")):
        done = shop_fleet.command(*words)
        assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), done.stderr
