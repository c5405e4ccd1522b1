# /// script
# requires-python = ">=3.11"
# dependencies = ["huey==3.5.4", "redis==7.4.1"]
# ///
"""huey: one queue with priorities, and as many worker processes as there are slots.

https://huey.readthedocs.io/en/latest/guide.html#priority and https://huey.readthedocs.io/en/latest/consumer.html
"""

from typing import Any

from harness import SLOTS, TIERS, URL, main, own, work
from huey import PriorityRedisHuey

huey = PriorityRedisHuey("peers", url=URL or "redis://", results=False)
task = huey.task()(work)


def send(tier: str, *arguments: Any) -> None:
    task(tier, *arguments, priority=len(TIERS) - TIERS.index(tier))


if __name__ == "__main__":
    main([[own("huey_consumer"), "huey_peer.huey", "-w", str(SLOTS), "-k", "process", "--quiet"]], send=send)
