import os
import time

from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))


@app.task
def quick() -> None:
    print("quick done")


@app.task
def nap(seconds: float) -> None:
    print(f"nap starts in {os.getpid()}")
    time.sleep(seconds)
    print(f"slept {seconds}")
