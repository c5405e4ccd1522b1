"""Publish many tasks at once."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from celery import Celery


def send_many(app: Celery, task: str, arguments: Iterable[tuple[Any, ...]], **options: Any) -> list[str]:
    """Publish a task once for each tuple of arguments, some hundred to a round trip; return the ids in that order.

    `options` are `apply_async`'s, the same for all. On an error some of the last batch may have been published and some
    not, and none of it is known: send what has to be sent at most once by itself.
    """
    ids = []
    producer: Any  # celery-types knows kombu before 5.7, which has no batches
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        for some in arguments:
            task_id = uuid4().hex
            app.send_task(task, some, task_id=task_id, producer=producer, **options)
            ids.append(task_id)
    return ids
