"""Publishing what is staged (tier medium)."""

from celery import shared_task
from pydantic import BaseModel
from sqlalchemy import delete, select

from app.core.task import ServiceTask
from app.services.database import insert_once, transaction
from app.services.objects import objects
from app.services.tables import Published, Staged
from app.tasks.names import RowName


class PublishRequest(BaseModel):
    """Uploads that were staged together."""

    batch: RowName


class PublishedBatch(BaseModel):
    """How many are published now that were not before."""

    count: int


@shared_task(name="app.tasks.promotion.publish", base=ServiceTask, pydantic=True)
def publish(request: PublishRequest) -> PublishedBatch:
    """Publish a batch: all of it or nothing; twice is once.

    Objects come first, where nobody sees them before a row names them; then all rows move in one transaction; uploads
    are removed last. Killed in between, it starts again; what a batch that is never finished leaves, cleanup removes.
    """
    store = objects()
    with transaction() as session:
        staged = session.scalars(select(Staged).filter_by(batch=request.batch).order_by(Staged.upload)).all()
        session.expunge_all()
    names = {row.upload: store.put(store.staged(row.upload)) for row in staged}
    with transaction() as session:
        count = sum(
            insert_once(
                session, Published, upload=row.upload, batch=row.batch, title=row.title, object=names[row.upload]
            )
            for row in staged
        )
        session.execute(delete(Staged).where(Staged.upload.in_(names)))
    for upload in names:
        store.unstage(upload)
    return PublishedBatch(count=count)
