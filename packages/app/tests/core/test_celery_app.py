"""The application: configured by its module and by its fleet."""

import pytest
from celery import Celery

from app.core.libraries import LIBRARIES, find_libraries
from app.settings import project


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("app.tasks.images.make_variants", "high_priority"),
        ("app.tasks.storage.put", "medium_priority"),
        ("app.tasks.cleanup.expire", "low_priority"),
    ],
)
def test_celery_sends_each_task_to_the_queue_of_its_tier(celery_app: Celery, task: str, queue: str) -> None:
    route = celery_app.amqp.router.route({}, task)

    assert route["queue"].name == queue
    assert project().fleet().tier_of_task(task).queue == queue


def test_a_misspelt_queue_is_an_error_at_the_publisher(celery_app: Celery) -> None:
    with pytest.raises(LookupError):
        celery_app.amqp.router.route({"queue": "hihg_priority"}, "app.tasks.storage.put")


def test_messages_are_json_and_nothing_else(celery_app: Celery) -> None:
    assert celery_app.conf.accept_content == ["json"]
    assert celery_app.conf.task_serializer == "json"


def test_everything_that_beat_sends_is_a_task_of_ours(celery_app: Celery) -> None:
    scheduled = {entry["task"] for entry in celery_app.conf.beat_schedule.values()}

    assert "app.tasks.cleanup.expire" in scheduled
    assert scheduled <= celery_app.tasks.keys()


@pytest.mark.parametrize(
    ("queues", "libraries"),
    [
        ({"high_priority"}, ["openai.resources"]),
        ({"medium_priority"}, ["openai.resources", "pyarrow.parquet"]),
        ({"low_priority"}, ["langfuse.api"]),
        (set(), []),
    ],
)
def test_a_worker_imports_what_its_tier_needs(celery_app: Celery, queues: set[str], libraries: list[str]) -> None:
    assert find_libraries(project().fleet(), queues) == libraries
    assert celery_app.tasks.keys() >= LIBRARIES.keys()
