# /// script
# requires-python = ">=3.11"
# dependencies = ["rq==3.0.0", "redis==8.1.0"]
# ///
"""rq: a pool of workers that look at the queues in order of priority.

https://python-rq.org/docs/workers/#worker-pool and "Queue priorities" there: a process is forked for each job.
"""

from harness import SLOTS, TIERS, URL, main, own, work
from redis import Redis
from rq import Queue

queues = {tier: Queue(tier, connection=Redis.from_url(URL or "redis://")) for tier in TIERS}


def send(tier: str, intended_at: float, seconds: float) -> None:
    queues[tier].enqueue(work, tier, intended_at, seconds)


if __name__ == "__main__":
    main([[own("rq"), "worker-pool", "--quiet", "--url", URL, "-n", str(SLOTS), *TIERS]], send=send)
