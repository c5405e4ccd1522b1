"""Shipping traces of model calls (tier low)."""

from typing import Any

from celery import Task, shared_task
from pydantic import BaseModel
from sqlalchemy import select, update

from app.core.task import ServiceTask
from app.services.database import transaction
from app.services.tables import Trace, now
from app.services.tracing import Call
from app.services.tracing import ship as hand_over

# So many in one request: some hundred kilobytes.
MOST_IN_BATCH = 200


class Shipped(BaseModel):
    """How many traces were handed over."""

    count: int


@shared_task(name="app.tasks.langfuse.ship", base=ServiceTask, bind=True, pydantic=True)
def ship(self: "Task[..., Any]") -> Shipped:
    """Hand over the traces that wait, in batches. A batch is fixed before it is sent, so that twice is once."""
    count = 0
    while True:
        with transaction() as session:
            batch = session.scalar(select(Trace.batch).where(Trace.batch.is_not(None), Trace.shipped_at.is_(None)))
            if batch is None:
                batch = f"{self.request.id}-{count}"
                free = select(Trace.id).where(Trace.batch.is_(None)).order_by(Trace.at, Trace.id).limit(MOST_IN_BATCH)
                session.execute(update(Trace).where(Trace.id.in_(free)).values(batch=batch))
        with transaction() as session:
            waiting = select(Trace).where(Trace.batch == batch, Trace.shipped_at.is_(None)).order_by(Trace.at, Trace.id)
            calls = [Call(name=row.id, at=row.at, call=row.call) for row in session.scalars(waiting)]
        if not calls:
            return Shipped(count=count)
        hand_over(batch, calls)
        with transaction() as session:
            session.execute(update(Trace).where(Trace.batch == batch).values(shipped_at=now()))
        count += len(calls)
