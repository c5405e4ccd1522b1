"""The load that the application offers: its own tasks, on input they can work with."""

import inspect
from random import Random

from celery import Celery

from app.services.objects import ObjectStore
from app.settings import project
from app.workload import UPLOAD_BYTES, VIEWS, prepare, workload
from deploytools.load.workload import WorkloadProvider, load_workload_provider


def test_each_of_the_twelve_modules_is_offered_with_arguments_it_takes(celery_app: Celery) -> None:
    fleet = project().fleet()

    offered = prepare()

    modules = {tier.name: {offer.task.split(".")[2] for offer in offered.of_tier(fleet, tier)} for tier in fleet}
    assert modules == {
        "high": {"chat", "images", "asr", "web_search"},
        "medium": {"embeddings", "storage", "promotion", "dataset"},
        "low": {"email", "cleanup", "langfuse", "leaderboard"},
    }
    for offer in offered.offers:
        task, arguments = celery_app.tasks[offer.task], offer.make_arguments(Random(7))
        inspect.signature(task.run).bind(*arguments)


def test_preparing_again_stores_nothing_new(store: ObjectStore) -> None:
    prepare()
    stored = set(store.files.find(store.root))

    prepare()

    assert set(store.files.find(store.root)) == stored
    assert len(stored) > len(VIEWS)


def test_no_two_uploads_are_alike(store: ObjectStore) -> None:
    upload = next(offer for offer in prepare().offers if offer.task == "app.tasks.storage.put")

    random = Random(7)
    names = [upload.make_arguments(random)[0]["upload"] for _ in range(3)]

    uploads = {store.staged(name) for name in names}
    assert [len(data) for data in uploads] == [UPLOAD_BYTES] * 3


def test_the_fleet_names_this_workload() -> None:
    assert load_workload_provider(project().fleet()) is workload
    assert isinstance(workload, WorkloadProvider)
