"""Things that outlived their use (tier low)."""

import time
from datetime import date, timedelta

from celery import shared_task
from pydantic import BaseModel, Field
from sqlalchemy import delete, select

from app.core.task import ServiceTask
from app.services.database import transaction
from app.services.exports import exports
from app.services.objects import objects
from app.services.tables import Document, Embedding, Staged, now
from app.settings import settings

# Whoever still writes a file after so long is dead.
MAX_WRITE_SECONDS = 3600


class ExpireRequest(BaseModel):
    """How old an upload may get, in seconds (None: as configured); `dry_run` only reports."""

    older_than_seconds: float | None = Field(default=None, ge=0)
    dry_run: bool = False


class Expired(BaseModel):
    """What outlived its use: names of uploads, days of exports, documents that are gone but have a vector."""

    uploads: list[str]
    exports: list[str]
    orphans: list[str]


@shared_task(name="app.tasks.cleanup.expire", base=ServiceTask, pydantic=True)
def expire(request: ExpireRequest | None = None) -> Expired:
    """Remove what nobody will use: uploads not stored in time, old exports, rows that lost theirs.

    Two runs at once do no harm.
    """
    request = request or ExpireRequest()
    found = Expired(uploads=_old_uploads(request), exports=_old_exports(), orphans=_orphans())
    if not request.dry_run:
        _remove(found)
        objects().sweep(before=min(_limit(request), time.time() - MAX_WRITE_SECONDS))
    return found


def _old_uploads(request: ExpireRequest) -> list[str]:
    limit = _limit(request)
    return [upload.name for upload in objects().uploads() if upload.modified_at < limit]


def _limit(request: ExpireRequest) -> float:
    age_seconds = settings().staged_seconds if request.older_than_seconds is None else request.older_than_seconds
    return time.time() - age_seconds


def _old_exports() -> list[str]:
    limit = now().date() - timedelta(days=settings().exports_days)
    return [day.isoformat() for day in exports().days() if day < limit]


def _orphans() -> list[str]:
    with transaction() as session:
        wanted = select(Embedding.document_id).where(Embedding.document_id.not_in(select(Document.id)))
        return sorted(set(session.scalars(wanted)))


def _remove(found: Expired) -> None:
    for upload in found.uploads:
        objects().unstage(upload)
    for day in found.exports:
        exports().delete(date.fromisoformat(day))
    with transaction() as session:
        session.execute(delete(Staged).where(Staged.upload.in_(found.uploads)))
        session.execute(delete(Embedding).where(Embedding.document_id.in_(found.orphans)))
