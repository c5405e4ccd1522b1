"""Exported data sets (tier medium)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from celery import shared_task
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.task import ServiceTask
from app.services.database import transaction
from app.services.exports import exports
from app.services.tables import Conversation, Message, State, Vote, now

if TYPE_CHECKING:
    import pyarrow as pa


class ExportRequest(BaseModel):
    """A day, in UTC; None: yesterday, the last that is over."""

    day: date | None = None


class Exported(BaseModel):
    """Table → how many rows it has."""

    rows: dict[str, int]


@shared_task(name="app.tasks.dataset.export", base=ServiceTask, pydantic=True)
def export(request: ExportRequest | None = None) -> Exported:
    """Write a day's conversations and votes as Parquet. Run again, it replaces what it wrote."""
    chosen = request.day if request else None
    day = chosen or now().date() - timedelta(days=1)
    start = datetime.combine(day, time.min, UTC)
    with transaction() as session:
        tables = {
            "conversations": _read_conversations(session, start, start + timedelta(days=1)),
            "votes": _read_votes(session, start, start + timedelta(days=1)),
        }
    manifest = exports().write(day, tables)
    return Exported(rows={name: entry["rows"] for name, entry in manifest["tables"].items()})


def _read_conversations(session: Session, start: datetime, end: datetime) -> "pa.Table":
    import pyarrow as pa

    wanted = (
        select(Conversation.id, Conversation.created_at, Message.position, Message.role, Message.content)
        .join(Message, Message.conversation_id == Conversation.id)
        .where(Conversation.created_at >= start, Conversation.created_at < end, Message.state == State.COMPLETE)
        .order_by(Conversation.created_at, Conversation.id, Message.position)
    )
    columns = {
        "conversation": pa.string(),
        "created_at": pa.timestamp("us", tz="UTC"),
        "position": pa.int32(),
        "role": pa.string(),
        "content": pa.string(),
    }
    return _table(session.execute(wanted).all(), columns)


def _read_votes(session: Session, start: datetime, end: datetime) -> "pa.Table":
    import pyarrow as pa

    wanted = (
        select(Vote.id, Vote.at, Vote.model_a, Vote.model_b, Vote.outcome)
        .where(Vote.at >= start, Vote.at < end)
        .order_by(Vote.at, Vote.id)
    )
    columns = {
        "vote": pa.string(),
        "at": pa.timestamp("us", tz="UTC"),
        "model_a": pa.string(),
        "model_b": pa.string(),
        "outcome": pa.string(),
    }
    return _table(session.execute(wanted).all(), columns)


def _table(rows: Sequence[Any], columns: "dict[str, pa.DataType]") -> "pa.Table":
    import pyarrow as pa

    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(values, kind) for values, kind in zip(by_column, columns.values(), strict=True)]
    return pa.table(arrays, names=list(columns))
