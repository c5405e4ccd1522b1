"""The database's tables. `app.migrations` makes them; a test holds the two together."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """A time that is UTC on every database; SQLite forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """Give a time its zone back."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Table(DeclarativeBase):
    """The base of all tables."""

    type_annotation_map = {datetime: UtcTime, dict[str, Any]: JSON, list[dict[str, str]]: JSON}  # noqa: RUF012


class State(StrEnum):
    """How far an answer is."""

    WAITING = "waiting"
    STREAMING = "streaming"
    COMPLETE = "complete"


class Outcome(StrEnum):
    """Which of the two answers somebody liked better."""

    A = "a"
    B = "b"
    TIE = "tie"


class Conversation(Table):
    """Somebody talks with a model."""

    __tablename__ = "conversations"
    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Message(Table):
    """A turn of a conversation: what was said, or what a model is about to say."""

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("conversation_id", "position"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    position: Mapped[int]
    role: Mapped[str]
    content: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default=State.COMPLETE)


class Vote(Table):
    """Two models answered; one answer was better, or neither."""

    __tablename__ = "votes"
    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    model_a: Mapped[str]
    model_b: Mapped[str]
    outcome: Mapped[str]


class Rating(Table):
    """A model's rating in one run of the leaderboard, with the bounds of its 95 % interval."""

    __tablename__ = "ratings"
    run: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    rating: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    votes: Mapped[int]


class Document(Table):
    """A text that can be searched."""

    __tablename__ = "documents"
    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    text: Mapped[str]


class Embedding(Table):
    """A document's vector, little-endian 32 bit floats, by one model."""

    __tablename__ = "embeddings"
    document_id: Mapped[str] = mapped_column(primary_key=True)  # cleanup removes those whose document is gone
    model: Mapped[str] = mapped_column(primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class Search(Table):
    """A question to the web, and what was found: title, url, text."""

    __tablename__ = "searches"
    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    query: Mapped[str]
    results: Mapped[list[dict[str, str]]]


class Picture(Table):
    """A picture that a model made, and the object that holds it."""

    __tablename__ = "pictures"
    id: Mapped[str] = mapped_column(primary_key=True)
    prompt: Mapped[str]
    object: Mapped[str]


class Transcript(Table):
    """What is said in an audio object, by one model."""

    __tablename__ = "transcripts"
    audio: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]


class Staged(Table):
    """An upload that belongs to a batch, which is published as a whole."""

    __tablename__ = "staged"
    upload: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]


class Published(Table):
    """What everybody may see."""

    __tablename__ = "published"
    upload: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]
    object: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)


class Mail(Table):
    """A mail that was handed over."""

    __tablename__ = "mails"
    id: Mapped[str] = mapped_column(primary_key=True)
    recipient: Mapped[str]
    sent_at: Mapped[datetime] = mapped_column(default=now)


class Trace(Table):
    """A model call that is to be shown in Langfuse: written with its effect, shipped later."""

    __tablename__ = "traces"
    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    call: Mapped[dict[str, Any]]
    batch: Mapped[str | None] = mapped_column(default=None, index=True)  # those that are shipped together
    shipped_at: Mapped[datetime | None] = mapped_column(default=None, index=True)
