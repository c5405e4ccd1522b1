"""Content-addressed objects and uploads, on a disk and in memory."""

import hashlib
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from app.services.objects import (
    ObjectDamagedError,
    ObjectMissingError,
    ObjectStore,
    content_name,
    objects,
    open_store,
)

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a store on a disk."""
    return tmp_path / "store"


@pytest.fixture
def disk(root: Path) -> ObjectStore:
    """Return a store on a disk."""
    return open_store(root.as_uri())


@pytest.fixture(params=["disk", "memory"])
def any_store(request: pytest.FixtureRequest, disk: ObjectStore) -> ObjectStore:
    """Return an empty store, on each kind of file system."""
    return disk if request.param == "disk" else open_store(f"memory://{uuid4().hex}")


def test_bytes_come_back_under_the_name_of_their_content(any_store: ObjectStore) -> None:
    name = any_store.put(b"hello")

    assert name == content_name(b"hello") == HELLO
    assert any_store.get(name) == b"hello"


def test_the_same_bytes_are_stored_once_and_nothing_else_is_left(disk: ObjectStore, root: Path) -> None:
    disk.put(b"hello")
    path = root / "objects" / HELLO[:2] / HELLO
    os.utime(path, (1, 1))

    disk.put(b"hello")

    assert path.stat().st_mtime == 1
    assert [path for path in root.rglob("*") if path.is_file()] == [path]


def test_nothing_is_an_object_too(any_store: ObjectStore) -> None:
    assert any_store.get(any_store.put(b"")) == b""


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"hellO", id="one-bit"),
        pytest.param(b"hell", id="cut-short"),
        pytest.param(b"", id="emptied"),
    ],
)
def test_a_damaged_object_is_never_handed_out(disk: ObjectStore, root: Path, damage: bytes) -> None:
    name = disk.put(b"hello")
    (root / "objects" / name[:2] / name).write_bytes(damage)

    with pytest.raises(ObjectDamagedError, match=rf"^object {name}: its bytes do not match its name"):
        disk.get(name)


def test_what_was_never_stored_is_missing(any_store: ObjectStore) -> None:
    with pytest.raises(ObjectMissingError, match=f"^{HELLO}: nothing of that name is stored"):
        any_store.get(HELLO)
    with pytest.raises(ObjectMissingError, match=r"^no-upload: nothing of that name is stored"):
        any_store.staged("no-upload")


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(any_store: ObjectStore) -> None:
    name = any_store.put(b"hello")

    any_store.delete(name)
    any_store.delete(name)

    with pytest.raises(ObjectMissingError):
        any_store.get(name)


def test_every_upload_has_a_name_of_its_own(any_store: ObjectStore) -> None:
    names = [any_store.stage(b"hello") for _ in range(3)]

    assert {upload.name for upload in any_store.uploads()} == set(names)
    assert len(set(names)) == 3
    assert any_store.staged(names[0]) == b"hello"


def test_an_upload_is_listed_until_it_is_removed(any_store: ObjectStore) -> None:
    kept, removed = any_store.stage(b"one"), any_store.stage(b"two")

    any_store.unstage(removed)
    any_store.unstage(removed)

    assert [upload.name for upload in any_store.uploads()] == [kept]


def test_a_store_without_uploads_lists_none(any_store: ObjectStore) -> None:
    assert list(any_store.uploads()) == []


def test_an_upload_tells_when_it_was_written(disk: ObjectStore, root: Path) -> None:
    before = time.time()
    fresh, old = disk.stage(b"fresh"), disk.stage(b"old")
    os.utime(root / "staged" / old, (1000.5, 1000.5))

    ages = {upload.name: upload.modified_at for upload in disk.uploads()}

    assert ages[old] == 1000.5
    assert ages[fresh] == pytest.approx(before, abs=60)


def test_the_store_of_this_process_is_where_the_environment_says(tmp_path: Path) -> None:
    objects().put(b"hello")

    assert (tmp_path / "objects" / "objects" / HELLO[:2] / HELLO).read_bytes() == b"hello"
    assert objects() is objects()
