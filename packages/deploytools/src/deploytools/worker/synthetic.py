"""A task of a known service time, for measuring queues rather than work. Every worker of a fleet can run it."""

import time

from celery import shared_task

SERVE = "deploytools.synthetic.serve"


@shared_task(name=SERVE)
def serve(seconds: float) -> None:
    """Occupy a process for so long, without using its CPU."""
    time.sleep(seconds)
