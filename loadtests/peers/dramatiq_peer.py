# /// script
# requires-python = ">=3.11"
# dependencies = ["dramatiq[redis]==2.2.1", "redis==8.1.0"]
# ///
"""dramatiq: an actor and a set of processes a queue.

https://dramatiq.io/guide.html#workers: defaults, but for one thread a process, which makes a process a slot.
"""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from harness import SLOTS_PER_TIER, TIERS, URL, main, own, work

dramatiq.set_broker(RedisBroker(url=URL))
actors = {tier: dramatiq.actor(work, actor_name=tier, queue_name=tier) for tier in TIERS}


def send(tier: str, intended_at: float, seconds: float) -> None:
    actors[tier].send(tier, intended_at, seconds)


if __name__ == "__main__":
    slots = str(SLOTS_PER_TIER)
    main(
        [
            [own("dramatiq"), "dramatiq_peer", "--queues", tier, "--processes", slots, "--threads", "1"]
            for tier in TIERS
        ],
        send=send,
    )
