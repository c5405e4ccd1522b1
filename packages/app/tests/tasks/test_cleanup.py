"""The task that removes uploads nobody stored, run in this process."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import ValidationError

from app.services.objects import ObjectStore
from app.settings import settings

Expire = Callable[..., dict[str, Any]]
HOUR_SECONDS = 3600


@pytest.fixture
def expire(celery_app: Celery) -> Expire:
    """Return the task, called as a worker calls it."""
    task = celery_app.tasks["app.tasks.cleanup.expire"]

    def run(*arguments: Any) -> Any:
        result = task.run(*arguments)
        assert (result.pop("exports"), result.pop("orphans")) == ([], [])
        return result

    return run


@pytest.fixture
def stage_aged(store: ObjectStore, tmp_path: Path) -> Callable[[int], str]:
    """Stage an upload that was written so many hours ago."""

    def stage(hours: int) -> str:
        name = store.stage(b"upload")
        written_at = time.time() - hours * HOUR_SECONDS
        os.utime(tmp_path / "objects" / "staged" / name, (written_at, written_at))
        return name

    return stage


def staged(store: ObjectStore) -> set[str]:
    """Return the names of what is staged."""
    return {upload.name for upload in store.uploads()}


def test_what_a_dead_worker_was_writing_is_removed(expire: Expire, store: ObjectStore, tmp_path: Path) -> None:
    store.stage(b"upload")
    folder = tmp_path / "objects" / "incoming"
    for name, hours in (("left", 25), ("under way", 0.5)):
        (folder / name).write_bytes(b"half of")
        os.utime(folder / name, (time.time() - hours * HOUR_SECONDS,) * 2)

    expire({"older_than_seconds": 0})

    assert [path.name for path in folder.iterdir()] == ["under way"]


def test_uploads_older_than_a_day_are_removed(
    expire: Expire, store: ObjectStore, stage_aged: Callable[[int], str]
) -> None:
    old, young = stage_aged(25), stage_aged(23)

    result = expire()

    assert result == {"uploads": [old]}
    assert staged(store) == {young}


def test_how_old_is_the_environments_to_say(
    expire: Expire, store: ObjectStore, stage_aged: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_STAGED_SECONDS", str(2 * HOUR_SECONDS))
    settings.cache_clear()
    stage_aged(3)
    young = stage_aged(1)

    expire()

    assert staged(store) == {young}


def test_how_old_is_the_requests_to_say_first(
    expire: Expire, store: ObjectStore, stage_aged: Callable[[int], str]
) -> None:
    stage_aged(3)
    young = stage_aged(1)

    expire({"older_than_seconds": 2 * HOUR_SECONDS})

    assert staged(store) == {young}


def test_a_dry_run_reports_and_removes_nothing(
    expire: Expire, store: ObjectStore, stage_aged: Callable[[int], str]
) -> None:
    old = stage_aged(25)

    assert expire({"dry_run": True}) == {"uploads": [old]}
    assert staged(store) == {old}


def test_a_second_run_changes_nothing_and_objects_are_never_touched(
    expire: Expire,
    store: ObjectStore,
    stage_aged: Callable[[int], str],
    stored_files: Callable[[], dict[str, bytes]],
) -> None:
    store.put(b"object")
    stage_aged(25)
    stage_aged(1)
    expire()
    files = stored_files()

    assert expire() == {"uploads": []}
    assert stored_files() == files
    assert len(files) == 2


def test_without_uploads_there_is_nothing_to_remove(expire: Expire) -> None:
    assert expire() == {"uploads": []}


def test_a_negative_age_is_refused(expire: Expire) -> None:
    with pytest.raises(ValidationError):
        expire({"older_than_seconds": -1})
