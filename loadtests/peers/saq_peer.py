# /// script
# requires-python = ">=3.11"
# dependencies = ["saq[redis]==0.26.4", "typing-extensions==4.16.0"]
# ///
"""saq: a queue and a set of processes a tier.

https://saq-py.readthedocs.io/en/latest/getting_started.html
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from harness import SLOTS_PER_TIER, TIERS, URL, Send, main, own, work_async
from saq import Queue

queues = {tier: Queue.from_url(URL or "redis://", name=tier) for tier in TIERS}


async def serve(_: Any, *, tier: str, intended_at: float, seconds: float) -> None:
    await work_async(tier, intended_at, seconds)


high, medium, low = ({"queue": queue, "functions": [("work", serve)], "concurrency": 1} for queue in queues.values())


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    def send(tier: str, intended_at: float, seconds: float) -> Any:
        return queues[tier].enqueue("work", tier=tier, intended_at=intended_at, seconds=seconds)

    yield send
    for queue in queues.values():
        await queue.disconnect()


if __name__ == "__main__":
    main(
        [[own("saq"), f"saq_peer.{tier}", "--workers", str(SLOTS_PER_TIER), "--quiet"] for tier in TIERS], sender=sender
    )
