"""Tell what time it is: a control command, so that a load run can estimate how far a worker's clock is off."""

import time
from typing import Any

from celery.signals import celeryd_init

CLOCK = "deploytools_clock"


def connect() -> None:
    """Offer the command in workers. Publishers need not import Celery's worker for it."""
    celeryd_init.connect(_offer, dispatch_uid="deploytools.clock", weak=False)


def _offer(**_: Any) -> None:
    from celery.worker.control import inspect_command

    inspect_command(name=CLOCK)(_now)


def _now(_: Any) -> dict[str, float]:
    """Return the time of day, in seconds of the epoch."""
    return {"now": time.time()}
