"""Keep the leases of what a channel holds, and give back what others let run out.

A thread of its own: it goes on while the event loop is busy, blocked by a task of the solo pool, or shutting down.
"""

import logging
import threading
import time
import weakref
from typing import Any

from deploytools import fork_safety
from deploytools.transport.scripts import RENEW, SWEEP

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
MAX_SWEEP_SECONDS = 5.0
TAGS_PER_COMMAND = 500
OVERDUE_PER_SWEEP = 200


class LeaseKeeper(threading.Thread):
    """Renews each third of a lease, sweeps each tenth; ends when its channel is closed and owes nothing."""

    def __init__(self, channel: Any) -> None:
        super().__init__(name="deploytools-leases", daemon=True)
        self._channel = weakref.ref(channel)
        self._lease_seconds: float = channel.lease_seconds
        self._guard = fork_safety.guard()

    def run(self) -> None:
        """Work until the channel is gone."""
        sleep = threading.Event()
        tick = min(TICK_SECONDS, self._lease_seconds / 10)
        renewed_at = swept_at = time.monotonic()
        while not sleep.wait(tick):
            channel = self._channel()
            if channel is None or (channel.closed and not channel.qos.has_pending_acks):
                if channel is not None:
                    channel._disconnect_pools()  # opened again for late acknowledgements
                return
            now = time.monotonic()  # ticks are longer where the CPU is short
            try:
                with self._guard:
                    if channel.closed:
                        channel.qos.flush()
                    if now - renewed_at >= self._lease_seconds / 3:
                        renewed_at = now
                        renew(channel)
                    if now - swept_at >= min(self._lease_seconds / 10, MAX_SWEEP_SECONDS) and not channel.closed:
                        swept_at = now
                        sweep(channel)
            except Exception as error:  # noqa: BLE001 — without this thread, all that the worker holds would run twice
                logger.warning("leases: %r: will try again", error)
            del channel


def renew(channel: Any) -> None:
    """Renew the leases of all messages a channel holds."""
    channel.qos._flush()  # what could not be rejected is held no more
    tags = [*_copy(channel.qos._delivered), *channel._asked[:1]]  # the last is what a take that is out may have got
    for start in range(0, len(tags), TAGS_PER_COMMAND):
        channel.evaluate(
            RENEW,
            [channel.unacked_index_key],
            [channel.lease_score_offset_seconds, *tags[start : start + TAGS_PER_COMMAND]],
        )


def sweep(channel: Any) -> None:
    """Give back what others hold and did not renew."""
    visibility = channel.visibility_timeout
    expired = channel.evaluate(
        SWEEP,
        [channel.unacked_index_key, f"{channel.unacked_index_key}.clock"],
        [visibility, channel.lease_seconds, OVERDUE_PER_SWEEP],
    )
    for tag in expired:
        text = tag.decode() if isinstance(tag, bytes) else tag
        channel.qos.requeue(text, counted=True, front=True, visibility_timeout_seconds=visibility)
        logger.warning("leases: %s was not renewed for %g s: given back", text, channel.lease_seconds)


def _copy(delivered: Any) -> list[str]:
    while True:
        try:
            return list(delivered)
        except RuntimeError:  # the event loop changed it meanwhile
            continue
