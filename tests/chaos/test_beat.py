"""One beat leads, whatever happens to leaders, and every tick is sent once."""

import time
from itertools import pairwise

import pytest
import redis

from deploytools.testing.beats import due_times, leader
from deploytools.testing.fleet import FleetUnderTest

SECONDS_BETWEEN_KILLS = 45.0  # ten kills and takeovers in ten minutes
KILLS_PER_LEADER_KILL = 30  # of --kills: 300 is a full run


@pytest.mark.only_on("embedded")
def test_every_tick_is_sent_once_although_leaders_are_killed(shop_fleet: FleetUnderTest, kills: int) -> None:
    path = shop_fleet.project.root / "fleet.toml"
    path.write_text(path.read_text().replace("lease_seconds", 'missed_ticks = "all"\nlease_seconds'))
    times = max(1, kills // KILLS_PER_LEADER_KILL)
    beats = [shop_fleet.start_beat(SHOP_TICK_SECONDS="1") for _ in range(3)]

    for number in range(times):
        victim = leader(beats)
        time.sleep(SECONDS_BETWEEN_KILLS if number else 3.0)  # ticks are sent meanwhile
        victim.kill_all()
        beats.remove(victim)
        beats.append(shop_fleet.start_beat(SHOP_TICK_SECONDS="1"))
    leader(beats)
    time.sleep(3.0)
    for beat in beats:
        beat.stop()

    with redis.Redis.from_url(shop_fleet.broker.url.replace("redis+socket://", "unix://")) as client:
        ticks = due_times(client, "counter")
    assert len(ticks) > 6
    assert [round(later - earlier, 2) for earlier, later in pairwise(ticks)] == [1.0] * (len(ticks) - 1)
