"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05
# A worker of the nicest tier gets a twentieth of a busy CPU; what comes true costs nothing of this.
DEADLINE_SECONDS = 90.0


class StillWaitingError(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(
    condition: Callable[[], T],
    what: str,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> T:
    """Return the condition's first true value; raise StillWaitingError, saying what was waited for, at the deadline.

    An AssertionError inside the condition means "not yet", and is shown at the deadline.
    """
    give_up_at = time.monotonic() + deadline_seconds
    while True:
        last: object
        try:
            value = condition()
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() > give_up_at:
            raise StillWaitingError(f"waited {deadline_seconds:g} s for {what}; last seen: {last!r}")
        time.sleep(poll_seconds)
