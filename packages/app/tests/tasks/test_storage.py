"""The task that turns uploads into objects, run in this process."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from pydantic import ValidationError

from app.services.objects import ObjectMissingError, ObjectStore, content_name

Put = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def put(celery_app: Celery) -> Put:
    """Return the task, called as a worker calls it."""
    task: Put = celery_app.tasks["app.tasks.storage.put"].run
    return task


@pytest.mark.parametrize("claim", [None, content_name(b"hello")], ids=["without-claim", "as-claimed"])
def test_an_upload_becomes_an_object(put: Put, store: ObjectStore, claim: str | None) -> None:
    upload = store.stage(b"hello")

    result = put({"upload": upload, "sha256": claim})

    assert result == {"name": content_name(b"hello"), "size_bytes": 5}
    assert store.get(result["name"]) == b"hello"


def test_a_second_run_changes_nothing(
    put: Put, store: ObjectStore, stored_files: Callable[[], dict[str, bytes]]
) -> None:
    upload = store.stage(b"hello")
    first = put({"upload": upload})
    files = stored_files()

    second = put({"upload": upload})

    assert second == first
    assert stored_files() == files
    assert store.staged(upload) == b"hello"


def test_an_upload_that_is_not_what_was_announced_is_refused_and_not_stored(
    put: Put, store: ObjectStore, stored_files: Callable[[], dict[str, bytes]]
) -> None:
    from app.tasks.storage import UploadDamagedError

    upload = store.stage(b"hellO")

    with pytest.raises(UploadDamagedError, match=f"announced as {content_name(b'hello')}, received as "):
        put({"upload": upload, "sha256": content_name(b"hello")})

    assert stored_files() == {f"staged/{upload}": b"hellO"}


def test_an_upload_that_is_not_there_is_an_error(put: Put) -> None:
    with pytest.raises(ObjectMissingError):
        put({"upload": "0" * 32})


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"upload": "../objects/ab"}, id="a-path"),
        pytest.param({"upload": "0" * 32 + "\n"}, id="a-name-and-a-line-feed"),
        pytest.param({"upload": "0" * 32, "sha256": "ABC"}, id="no-sha256"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(put: Put, request_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        put(request_)
