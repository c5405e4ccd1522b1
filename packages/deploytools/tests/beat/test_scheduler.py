"""When a tick is due."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule

from deploytools.beat.scheduler import due_at

LAST = datetime(2026, 3, 29, 0, 59, 30, 250_000, tzinfo=UTC)  # before a clock is put forward


def slow_clock() -> Callable[[], datetime]:
    """Return a clock of which a tenth of a second passes each time it is read."""
    readings = count()
    return lambda: LAST + timedelta(seconds=0.1 * next(readings))


@pytest.mark.parametrize(
    ("every", "seconds"),
    [(schedule(7.5, nowfun=slow_clock()), 7.5), (crontab(nowfun=slow_clock()), 29.75)],
    ids=["interval", "crontab"],
)
def test_ticks_do_not_drift_by_the_time_it_takes_to_read_the_clock(every: BaseSchedule, seconds: float) -> None:
    every.app = Celery(timezone="Europe/Berlin", set_as_current=False)
    last = LAST.timestamp()

    assert [due_at(every, last, every.app.timezone) - last for _ in range(3)] == [seconds] * 3
