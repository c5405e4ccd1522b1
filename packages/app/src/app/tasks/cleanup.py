"""Things that outlived their use (tier low)."""

import time

from celery import shared_task
from pydantic import BaseModel, Field

from app.services.objects import objects
from app.settings import settings


class ExpireRequest(BaseModel):
    """How old an upload may get, in seconds (None: as configured); `dry_run` only reports."""

    older_than_seconds: float | None = Field(default=None, ge=0)
    dry_run: bool = False


class Expired(BaseModel):
    """Names of the uploads that were too old."""

    uploads: list[str]


@shared_task(name="app.tasks.cleanup.expire", pydantic=True)
def expire(request: ExpireRequest | None = None) -> Expired:
    """Remove uploads that nobody stored in time. Two runs at once do no harm."""
    request = request or ExpireRequest()
    age_seconds = settings().staged_seconds if request.older_than_seconds is None else request.older_than_seconds
    store = objects()
    limit = time.time() - age_seconds
    too_old = [upload.name for upload in store.uploads() if upload.modified_at < limit]
    if not request.dry_run:
        for name in too_old:
            store.unstage(name)
    return Expired(uploads=too_old)
