# /// script
# requires-python = ">=3.11"
# dependencies = ["arq==0.28.0"]
# ///
"""arq: a worker process a slot, each on its tier's queue.

https://arq-docs.helpmanual.io/#arq.worker.Worker: a worker starts no more than `max_jobs` between two looks at its
queue, half a second apart by default. One slot would start two tasks a second; here it looks a hundred times a second.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import func
from harness import SLOTS_PER_TIER, TIERS, URL, Send, main, own, work_async

settings = RedisSettings.from_dsn(URL or "redis://")


async def serve(_: Any, tier: str, intended_at: float, seconds: float) -> None:
    await work_async(tier, intended_at, seconds)


def settings_of(tier: str) -> type:
    functions = [func(serve, name="work")]
    names = {"functions": functions, "queue_name": tier, "redis_settings": settings, "max_jobs": 1, "poll_delay": 0.01}
    return type(tier.title(), (), names)


High, Medium, Low = map(settings_of, TIERS)


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    pool = await create_pool(settings)
    yield lambda tier, *arguments: pool.enqueue_job("work", tier, *arguments, _queue_name=tier)
    await pool.aclose()


if __name__ == "__main__":
    main([[own("arq"), f"arq_peer.{tier.title()}"] for tier in TIERS for _ in range(SLOTS_PER_TIER)], sender=sender)
