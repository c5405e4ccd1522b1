"""An environment of its own for each test, real pictures, and no way out of this process."""

import io
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from celery import Celery
from PIL import Image

from app.services.database import engine
from app.services.exports import exports
from app.services.objects import ObjectStore, objects
from app.settings import settings

FOREIGN = ("APP_", "CELERY_", "DEPLOYTOOLS_", "KUBERNETES_")


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("a unit test opened a connection or started a program")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DEPLOYTOOLS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("APP_OBJECTS_URL", (tmp_path / "objects").as_uri())
    _forget()
    yield
    if engine.cache_info().currsize:
        engine().dispose()
    _forget()


def _forget() -> None:
    for cached in (settings, objects, exports, engine):
        cached.cache_clear()


@pytest.fixture
def celery_app() -> Celery:
    """Return the application; it reads its environment when it is imported first, hence here."""
    from app.tasks import celery_app

    return celery_app


@pytest.fixture
def store() -> ObjectStore:
    """Return the store that tasks use, empty."""
    return objects()


@pytest.fixture
def stored_files(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Read everything that is stored: path below the root → bytes."""
    root = tmp_path / "objects"
    return lambda: {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode a picture."""

    def to_bytes(picture: Image.Image, name: str, **options: Any) -> bytes:
        encoded = io.BytesIO()
        picture.save(encoded, name, **options)
        return encoded.getvalue()

    return to_bytes
