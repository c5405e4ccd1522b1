"""Content-addressed objects, and uploads that wait to become objects, on any file system fsspec knows.

<root>/objects/ab/abcdef…   an object; its name is the SHA-256 of its bytes
<root>/staged/<name>        an upload
<root>/incoming/<random>    an object being written; moved to its name when complete, so no reader sees half of one
"""

import hashlib
import posixpath
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import fsspec

from app.services.files import reached
from app.settings import settings


class ObjectMissingError(LookupError):
    """No object or upload of that name is stored."""


class ObjectDamagedError(ValueError):
    """The bytes stored under a name are not the ones the name promises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A staged upload: its name, and when it was written (seconds since the epoch)."""

    name: str
    modified_at: float


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Objects below `root` of a file system."""

    files: Any
    root: str

    @reached()
    def put(self, data: bytes) -> str:
        """Store bytes; return their name. Storing the same bytes again changes nothing."""
        name = content_name(data)
        if not self.files.exists(self.path(name)):
            self._write(data, self.path(name))
        return name

    @reached()
    def get(self, name: str) -> bytes:
        """Return an object's bytes, checked against its name; raise ObjectMissingError or ObjectDamagedError."""
        data = self._read(self.path(name), name)
        if content_name(data) != name:
            raise ObjectDamagedError(f"object {name}: its bytes do not match its name: restore it from a backup")
        return data

    @reached()
    def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""
        self._remove(self.path(name))

    @reached()
    def stage(self, data: bytes) -> str:
        """Keep an upload until a task stores it; return its name."""
        name = uuid4().hex
        self._write(data, self._staged(name))
        return name

    @reached()
    def staged(self, name: str) -> bytes:
        """Return an upload's bytes; raise ObjectMissingError."""
        return self._read(self._staged(name), name)

    @reached()
    def unstage(self, name: str) -> None:
        """Remove an upload; one that is gone already is no error."""
        self._remove(self._staged(name))

    def uploads(self) -> Iterator[Upload]:
        """Yield what is staged."""
        for entry in self._entries("staged"):
            yield Upload(name=posixpath.basename(entry["name"]), modified_at=_modified_at(entry))

    @reached()
    def sweep(self, *, before: float) -> None:
        """Remove what was being written before a time (seconds since the epoch), by somebody who died meanwhile."""
        for entry in self._entries("incoming"):
            if _modified_at(entry) < before:
                self._remove(entry["name"])

    def path(self, name: str) -> str:
        """Return where an object is, if it is."""
        return posixpath.join(self.root, "objects", name[:2], name)

    @reached()
    def _entries(self, name: str) -> list[dict[str, Any]]:
        folder = posixpath.join(self.root, name)
        return list(self.files.ls(folder, detail=True, refresh=True)) if self.files.exists(folder) else []

    def _staged(self, name: str) -> str:
        return posixpath.join(self.root, "staged", name)

    def _read(self, path: str, name: str) -> bytes:
        try:
            return bytes(self.files.cat_file(path))
        except FileNotFoundError:
            raise ObjectMissingError(f"{name}: nothing of that name is stored below {self.root}") from None

    def _write(self, data: bytes, path: str) -> None:
        incoming = posixpath.join(self.root, "incoming", uuid4().hex)
        self.files.makedirs(posixpath.dirname(incoming), exist_ok=True)
        self.files.makedirs(posixpath.dirname(path), exist_ok=True)
        self.files.pipe_file(incoming, data)
        self.files.mv(incoming, path)

    def _remove(self, path: str) -> None:
        try:
            self.files.rm_file(path)
        except FileNotFoundError:
            return


def _modified_at(entry: dict[str, Any]) -> float:
    modified = entry.get("mtime", entry.get("LastModified", time.time()))
    return modified if isinstance(modified, float) else float(modified.timestamp())


def content_name(data: bytes) -> str:
    """Return the name of the object these bytes are: their SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def open_store(url: str) -> ObjectStore:
    """Open the store at any URL fsspec knows."""
    files, root = fsspec.core.url_to_fs(url)
    return ObjectStore(files, root)


@cache
def objects() -> ObjectStore:
    """Return this process's store."""
    return open_store(settings().objects_url)
