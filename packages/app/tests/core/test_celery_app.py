"""The application: configured by its module and by its fleet."""

import pytest
from celery import Celery

from app.settings import project
from deploytools.worker.warming import preload, warm_ups


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


def test_every_module_that_a_tier_preloads_can_be_imported() -> None:
    fleet = project().fleet()

    preload(fleet)

    assert all(tier.preload for tier in fleet)


def test_every_tier_has_warm_ups_for_what_its_tasks_talk_to() -> None:
    names = {tier.name: [each.function.__name__ for each in warm_ups([tier.name])] for tier in project().fleet()}

    assert names["high"] == names["medium"] == ["connect_database", "open_stores", "make_model_client"]
    assert names["low"] == ["connect_database", "open_stores"]
