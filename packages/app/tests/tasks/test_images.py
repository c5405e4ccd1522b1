"""The task that makes variants of pictures, run in this process."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from PIL import Image
from pydantic import ValidationError

from app.services.objects import ObjectMissingError, ObjectStore
from app.services.pictures import PictureError

PICTURE = "0" * 64

MakeVariants = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def make_variants(celery_app: Celery) -> MakeVariants:
    """Return the task, called as a worker calls it."""
    task: MakeVariants = celery_app.tasks["app.tasks.images.make_variants"].run
    return task


@pytest.fixture
def picture(store: ObjectStore, encode: Callable[..., bytes]) -> str:
    """Return the name of a stored picture, 80 pixels wide."""
    return store.put(encode(Image.new("RGB", (80, 40), "teal"), "PNG"))


def test_each_width_becomes_an_object(make_variants: MakeVariants, store: ObjectStore, picture: str) -> None:
    result = make_variants({"picture": picture, "widths": [40, 10], "picture_format": "JPEG"})

    variants = {width: Image.open(io.BytesIO(store.get(name))) for width, name in result["objects"].items()}
    assert {width: (variant.size, variant.format) for width, variant in variants.items()} == {
        "40": ((40, 20), "JPEG"),
        "10": ((10, 5), "JPEG"),
    }


def test_a_second_run_changes_nothing(
    make_variants: MakeVariants,
    stored_files: Callable[[], dict[str, bytes]],
    picture: str,
) -> None:
    request = {"picture": picture, "widths": [40, 10]}
    first = make_variants(request)
    files = stored_files()

    second = make_variants(request)

    assert second == first
    assert stored_files() == files
    assert len(files) == 3  # the picture and its variants


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"picture": "../../etc/passwd"}, id="a-path"),
        pytest.param({"picture": PICTURE + "\n"}, id="a-name-and-a-line-feed"),
        pytest.param({"widths": []}, id="no-width"),
        pytest.param({"widths": [10] * 17}, id="too-many-widths"),
        pytest.param({"widths": ["wide"]}, id="a-width-in-words"),
        pytest.param({"picture_format": "EPS"}, id="unknown-format"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    make_variants: MakeVariants,
    stored_files: Callable[[], dict[str, bytes]],
    change: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        make_variants({"picture": PICTURE, "widths": [10]} | change)

    assert stored_files() == {}


def test_a_picture_that_is_not_stored_is_an_error(
    make_variants: MakeVariants,
) -> None:
    with pytest.raises(ObjectMissingError):
        make_variants({"picture": PICTURE, "widths": [10]})


def test_an_object_that_is_no_picture_is_an_error_and_nothing_is_stored(
    make_variants: MakeVariants,
    store: ObjectStore,
    stored_files: Callable[[], dict[str, bytes]],
) -> None:
    name = store.put(b"no picture")
    files = stored_files()

    with pytest.raises(PictureError):
        make_variants({"picture": name, "widths": [10]})

    assert stored_files() == files
