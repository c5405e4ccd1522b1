"""Celery with the deployment guide's flags: a queue and a worker a tier.

"Worker Optimization Flags" and "Individual Workers" of the guide, with the slots of this benchmark.
"""

from typing import Any

from celery import Celery
from harness import SLOTS_PER_TIER, TIERS, URL, main, own, work

FLAGS = (
    *("-c", str(SLOTS_PER_TIER), "--max-tasks-per-child=1000"),
    *("-O", "fair", "--without-gossip", "--without-mingle", "--without-heartbeat", "--prefetch-multiplier=1"),
)

app = Celery("celery_guide", broker=URL)
task = app.task(name="work", ignore_result=True)(work)


def send(*arguments: Any) -> None:
    task.apply_async(arguments, queue=arguments[0])


if __name__ == "__main__":
    main(
        [[own("celery"), "-A", "celery_guide", "worker", "-Q", tier, "-n", f"{tier}@%h", *FLAGS] for tier in TIERS],
        send=send,
    )
