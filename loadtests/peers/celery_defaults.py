"""Celery with its defaults: one queue, one worker of as many processes as there are slots.

https://docs.celeryq.dev/en/stable/getting-started/first-steps-with-celery.html
"""

from celery import Celery
from harness import SLOTS, URL, main, own, work

app = Celery("celery_defaults", broker=URL)
task = app.task(name="work", ignore_result=True)(work)

if __name__ == "__main__":
    main([[own("celery"), "-A", "celery_defaults", "worker", f"--concurrency={SLOTS}"]], send=task.delay)
