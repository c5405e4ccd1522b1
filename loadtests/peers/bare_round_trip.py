"""The bare round trip: LPUSH and BRPOP, nothing around them. No library that goes through Redis can be faster for long.

One process a slot, which waits for its tier's list. A task whose process dies is lost.
"""

import json
import sys

import redis
from harness import SLOTS_PER_TIER, TIERS, URL, main, work

# redis-py 8 gives up on an answer after 5 s, and so ends a slot that has nothing to do.
client = redis.Redis.from_url(URL or "redis://", socket_timeout=None)


def send(tier: str, intended_at: float, seconds: float) -> None:
    client.lpush(tier, json.dumps([tier, intended_at, seconds]))


def serve(tier: str) -> None:
    while True:
        _, message = client.brpop([tier])
        work(*json.loads(message))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    main([[sys.executable, __file__, "serve", tier] for tier in TIERS for _ in range(SLOTS_PER_TIER)], send=send)
