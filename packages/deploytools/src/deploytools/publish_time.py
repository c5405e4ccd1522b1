"""When a task was published, written into its headers; how long it waited, read from them.

Celery's messages carry no publish time, and its events cost 40 % of throughput, so the stamp is a header of our own.
Two hosts' clocks are compared: keep them in step (NTP). A retry is a new publish and gets a new stamp; a redelivered
message keeps its own, so its wait includes the time until it was given back.
"""

from collections.abc import MutableMapping
from datetime import datetime
from typing import Any

PUBLISHED_AT = "x_published_at"  # seconds since the epoch, at the publisher


def stamp(headers: MutableMapping[str, Any], now: float) -> None:
    """Write the publish time into a message's headers."""
    headers[PUBLISHED_AT] = now


def wait_seconds(*, published_at: float, started_at: float, eta: str | None = None) -> float:
    """Return how long a task was ready and not running.

    Times are seconds since the epoch, `eta` the ISO 8601 text of the message. A delay that was asked for (countdown,
    ETA) is no wait. Negative results of clocks that disagree count as zero.
    """
    ready_at = max(published_at, datetime.fromisoformat(eta).timestamp()) if eta else published_at
    return max(0.0, started_at - ready_at)
