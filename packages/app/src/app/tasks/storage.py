"""Objects named by their content (tier medium)."""

from celery import shared_task
from pydantic import BaseModel

from app.core.task import ServiceTask
from app.services.objects import content_name, objects
from app.tasks.names import ObjectName, UploadName


class PutRequest(BaseModel):
    """A staged upload, and the SHA-256 its sender claims for it, if any."""

    upload: UploadName
    sha256: ObjectName | None = None


class ObjectRequest(BaseModel):
    """An object."""

    name: ObjectName


class Stored(BaseModel):
    """Where the bytes are now."""

    name: str
    size_bytes: int


class UploadDamagedError(ValueError):
    """The upload's bytes are not the ones its sender announced."""


@shared_task(name="app.tasks.storage.put", base=ServiceTask, pydantic=True)
def put(request: PutRequest) -> Stored:
    """Turn an upload into an object.

    The upload stays staged until cleanup, so that a second run, after a crash at any point, changes nothing.
    """
    store = objects()
    data = store.staged(request.upload)
    name = content_name(data)
    if request.sha256 not in (None, name):
        raise UploadDamagedError(
            f"upload {request.upload}: announced as {request.sha256}, received as {name}: send it again"
        )
    return Stored(name=store.put(data), size_bytes=len(data))


@shared_task(name="app.tasks.storage.get", base=ServiceTask, pydantic=True)
def get(request: ObjectRequest) -> Stored:
    """Read an object and check its bytes against its name; one that is missing or damaged is an error."""
    return Stored(name=request.name, size_bytes=len(objects().get(request.name)))


@shared_task(name="app.tasks.storage.delete", base=ServiceTask, pydantic=True)
def delete(request: ObjectRequest) -> None:
    """Remove an object; one that is gone already is no error."""
    objects().delete(request.name)
