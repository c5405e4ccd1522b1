"""Beat: any number runs, one leads, every tick is sent once."""

import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis

from deploytools.beat.scheduler import LEASE_SECONDS
from deploytools.testing.beats import due_times, leader, role
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

pytestmark = pytest.mark.only_on("redis")
TICK = {"SHOP_TICK_SECONDS": "1"}


@pytest.fixture
def client(shop_fleet: FleetUnderTest) -> Iterator[redis.Redis]:
    """Return a client of the broker; the fleet sends every tick it missed."""
    path = shop_fleet.project.root / "fleet.toml"
    path.write_text(path.read_text().replace("lease_seconds", 'missed_ticks = "all"\nlease_seconds'))
    with redis.Redis.from_url(shop_fleet.broker.url.replace("redis+socket://", "unix://")) as client:
        yield client


def test_every_tick_is_sent_once_although_leaders_are_killed_stopped_and_frozen(
    shop_fleet: FleetUnderTest, client: redis.Redis
) -> None:
    beats = [shop_fleet.start_beat(**TICK) for _ in range(4)]

    killed = leader(beats)
    wait_until(lambda: client.llen("counter") >= 2, "ticks")
    killed.kill_all()
    beats.remove(killed)
    frozen = leader(beats)
    wait_until(lambda: client.llen("counter") >= LEASE_SECONDS, "the missed ticks")
    frozen.signal(signal.SIGSTOP)
    awake = [beat for beat in beats if beat is not frozen]
    stopped = leader(awake)
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: role(frozen) == "stands by", "the frozen one to notice")
    stopped.stop()
    resigned_at = time.monotonic()
    last = leader([beat for beat in beats if beat is not stopped])
    assert time.monotonic() - resigned_at < LEASE_SECONDS / 2  # it did not have to wait for the lease
    before = client.llen("counter")
    wait_until(lambda: client.llen("counter") >= before + 3, "more ticks")
    last.stop()

    ticks = due_times(client, "counter")
    assert [round(later - earlier, 2) for earlier, later in pairwise(ticks)] == [1.0] * (len(ticks) - 1)


def test_a_standby_of_an_older_version_does_not_lead_any_more(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    old = shop_fleet.start_beat(SHOP_TICK_SECONDS="1")
    leader([old])
    old_standby = shop_fleet.start_beat(SHOP_TICK_SECONDS="1")
    wait_until(lambda: role(old_standby) == "stands by", "the standby")
    old_standby.signal(signal.SIGSTOP)
    old.stop()
    new = shop_fleet.start_beat(SHOP_TICK_SECONDS="2")
    leader([new])
    old_standby.signal(signal.SIGCONT)

    new.stop()

    wait_until(lambda: "newer schedule" in role(old_standby), "the old one to refuse")
    leader([shop_fleet.start_beat(SHOP_TICK_SECONDS="2")])


def test_an_entry_that_cannot_be_sent_stops_no_other(shop_fleet: FleetUnderTest, client: redis.Redis) -> None:
    with (shop_fleet.project.root / "shop.py").open("a") as module:
        module.write(
            'typo = {"task": "shop.quick", "schedule": 1.0, "options": {"queue": "typo"}}\n'
            'app.conf.beat_schedule = {"typo": typo, **app.conf.beat_schedule}\n'
        )

    beat = shop_fleet.start_beat(**TICK)

    wait_until(lambda: client.llen("counter") >= 2, "ticks of the other")
    assert "beat: typo: " in beat.log()


def test_two_beats_do_not_share_a_file(shop_fleet: FleetUnderTest) -> None:
    own = {"CELERY_BROKER_URL": shop_fleet.broker.url, "CELERY_BEAT_SCHEDULE": str(shop_fleet.project.state / "beat")}
    shop_fleet.project.start_command("beat", **own).wait_for_log("beat: Starting...")

    second = shop_fleet.project.start_command("beat", **own)

    assert second.wait() == 1
    assert "another beat runs with this file" in second.log()
