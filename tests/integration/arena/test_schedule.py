"""An hour of the arena's beat in simulated time, on a real broker."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.beat import Scheduler

from app.settings import project, settings
from deploytools.testing.fleet import FleetUnderTest

pytestmark = pytest.mark.only_on("embedded")


def test_in_an_hour_every_entry_fires_when_due_and_lands_in_its_tier(
    arena: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.celeryconfig import beat_schedule

    now = datetime(2026, 1, 31, 23, 55, tzinfo=UTC)
    end = now + timedelta(hours=1)
    app: Any = arena.app
    app.conf.beat_schedule = beat_schedule
    monkeypatch.setattr(app, "now", lambda: now)
    scheduler = Scheduler(app, lazy=False)
    fired: list[tuple[datetime, str]] = []
    send = scheduler.apply_async

    def note(entry: Any, *arguments: Any, **options: Any) -> Any:
        fired.append((now, entry.task))
        return send(entry, *arguments, **options)

    monkeypatch.setattr(scheduler, "apply_async", note)
    while now < end:
        delay_seconds = scheduler.tick()
        now += timedelta(seconds=max(delay_seconds, 0.01))

    chosen = settings()
    times = {task: [at for at, each in fired if each == task] for _, task in fired}
    expected = {
        "app.tasks.cleanup.expire": chosen.cleanup_every_seconds,
        "app.tasks.langfuse.ship": chosen.ship_every_seconds,
        "app.tasks.leaderboard.compute": chosen.rate_every_seconds,
    }
    for task, every_seconds in expected.items():
        assert len(times[task]) in {int(3600 / every_seconds) - 1, int(3600 / every_seconds)}, task
        gaps = [(b - a).total_seconds() for a, b in zip(times[task], times[task][1:], strict=False)]
        assert all(every_seconds <= gap < every_seconds + 1 for gap in gaps), (task, gaps)
    (exported_at,) = times["app.tasks.dataset.export"]
    assert 0 <= (exported_at - datetime(2026, 2, 1, 0, 10, tzinfo=UTC)).total_seconds() < 5
    landed: Counter[tuple[str, str]] = Counter()
    with app.connection_for_read() as connection:
        for tier in project().fleet():
            for raw in connection.default_channel.client.lrange(tier.queue, 0, -1):
                landed[tier.name, json.loads(raw)["headers"]["task"]] += 1
    fleet = project().fleet()
    tiers = {task: tier.name for task in times if (tier := fleet.tier_of_task(task))}
    assert landed == Counter((tiers[task], task) for _, task in fired)
