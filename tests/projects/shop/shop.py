from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from celery import Celery, Task
from celery.exceptions import Reject

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.beat_schedule = {
    "tick": {"task": "shop.quick", "schedule": float(os.environ.get("SHOP_TICK_SECONDS", "3600"))},
}


@app.task
def quick() -> None:
    print("quick done")


@app.task(bind=True)
def flaky(self: Task[..., None], times: int = 1) -> None:
    if self.request.retries < times:
        raise self.retry(countdown=0.1)


@app.task
def nap(seconds: float) -> None:
    print(f"nap starts in {os.getpid()}")
    time.sleep(seconds)
    print(f"slept {seconds}")


@app.task(acks_late=False)
def early_nap(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def refuse(why: str) -> None:
    raise Reject(ValueError(why))


@app.task(bind=True, max_retries=1)
def deliver(self: Task[..., None], address: str) -> None:
    if not Path(address).exists():
        raise self.retry(countdown=0.1, exc=LookupError(f"nobody at {address}"))
