# /// script
# requires-python = ">=3.11"
# dependencies = ["taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0"]
# ///
"""taskiq: a broker with acknowledgement (Redis streams) and a set of processes a tier.

https://taskiq-python.github.io/guide/cli.html and https://github.com/taskiq-python/taskiq-redis
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from harness import SLOTS_PER_TIER, TIERS, URL, Send, main, own, work_async
from taskiq_redis import RedisStreamBroker

# From the stream's beginning: a task that was sent before the first worker started is run as well.
high, medium, low = brokers = [
    RedisStreamBroker(URL or "redis://", queue_name=tier, consumer_id="0", consumer_group_name=tier) for tier in TIERS
]
tasks = {tier: broker.register_task(work_async, task_name="work") for tier, broker in zip(TIERS, brokers, strict=True)}


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    for broker in brokers:
        await broker.startup()

    def send(tier: str, *arguments: Any) -> Any:
        return tasks[tier].kiq(tier, *arguments)

    yield send
    for broker in brokers:
        await broker.shutdown()


if __name__ == "__main__":
    options = ("--workers", str(SLOTS_PER_TIER), "--max-async-tasks", "1", "--log-level", "WARNING")
    main([[own("taskiq"), "worker", f"taskiq_peer:{tier}", *options] for tier in TIERS], sender=sender)
