"""Shipping traces of model calls (tier low)."""

from uuid import uuid4

from celery import shared_task
from pydantic import BaseModel
from sqlalchemy import select, update

from app.core.task import ServiceTask
from app.services.database import transaction
from app.services.errors import PermanentError
from app.services.tables import Trace, now
from app.services.tracing import Call
from app.services.tracing import ship as hand_over

# So many in one request: some hundred kilobytes.
MAX_IN_BATCH = 200
# Where that many are refused, it is not about one batch: the key, perhaps.
MAX_REFUSED = 3


class Shipped(BaseModel):
    """How many traces were handed over."""

    count: int


@shared_task(name="app.tasks.langfuse.ship", base=ServiceTask, pydantic=True)
def ship() -> Shipped:
    """Hand over the traces that wait, in batches. A batch is fixed before it is sent, so that twice is once.

    One that is refused for good holds up no other; it stays, and the task fails in the end.
    """
    count, refused = 0, dict[str, PermanentError]()
    while len(refused) < MAX_REFUSED:
        with transaction() as session:
            fixed = select(Trace.batch).where(Trace.batch.is_not(None), Trace.shipped_at.is_(None))
            batch = session.scalar(fixed.where(Trace.batch.not_in(refused)))
            if batch is None:
                batch = uuid4().hex
                free = select(Trace.id).where(Trace.batch.is_(None)).order_by(Trace.at, Trace.id).limit(MAX_IN_BATCH)
                session.execute(update(Trace).where(Trace.id.in_(free)).values(batch=batch))
        with transaction() as session:
            waiting = select(Trace).where(Trace.batch == batch, Trace.shipped_at.is_(None)).order_by(Trace.at, Trace.id)
            calls = [Call(name=row.id, at=row.at, call=row.call) for row in session.scalars(waiting)]
        if not calls:
            break
        try:
            hand_over(batch, calls)
        except PermanentError as error:
            refused[batch] = error
            continue
        with transaction() as session:
            session.execute(update(Trace).where(Trace.batch == batch).values(shipped_at=now()))
        count += len(calls)
    if refused:
        said = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise PermanentError(f"{count} traces shipped, {len(refused)} batches refused: {said}")
    return Shipped(count=count)
