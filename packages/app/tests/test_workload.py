"""The load that the application offers: its own tasks, on input they can work with."""

from random import Random

from celery import Celery

from app.services.objects import ObjectStore
from app.settings import project
from app.workload import UPLOAD_BYTES, VIEWS, prepare, workload
from deploytools.load.workload import Source, load_source


def test_every_tier_has_offers_and_each_is_a_task_of_ours_that_can_run(celery_app: Celery) -> None:
    fleet = project().fleet()

    offered = prepare()

    for tier in fleet:
        offers = offered.of_tier(fleet, tier)
        assert offers, tier.name
        for offer in offers:
            assert celery_app.tasks[offer.task].run(*offer.make_arguments(Random(7)))


def test_preparing_again_stores_nothing_new(store: ObjectStore) -> None:
    prepare()
    stored = set(store.files.find(store.root))

    prepare()

    assert set(store.files.find(store.root)) == stored
    assert len(stored) == len(VIEWS)


def test_no_two_uploads_are_alike(store: ObjectStore) -> None:
    upload = next(offer for offer in prepare().offers if offer.task == "app.tasks.storage.put")

    random = Random(7)
    names = [upload.make_arguments(random)[0]["upload"] for _ in range(3)]

    uploads = {store.staged(name) for name in names}
    assert [len(data) for data in uploads] == [UPLOAD_BYTES] * 3


def test_the_fleet_names_this_workload() -> None:
    assert load_source(project().fleet()) is workload
    assert isinstance(workload, Source)
