"""Vectors of documents (tier medium)."""

from celery import shared_task
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.core.task import ServiceTask
from app.services import language_model
from app.services.database import transaction
from app.services.tables import Document, Embedding
from app.services.vectors import nearest as find_nearest
from app.services.vectors import store_vector
from app.settings import settings
from app.tasks.names import RowName

# As many texts in one call; OpenAI allows 2048, and 300,000 tokens.
BATCH = 64


class EmbedRequest(BaseModel):
    """Documents that want a vector; None: all that have none."""

    documents: list[RowName] | None = Field(default=None, max_length=10_000)


class Embedded(BaseModel):
    """How many vectors were made."""

    count: int


@shared_task(name="app.tasks.embeddings.embed", base=ServiceTask, pydantic=True)
def embed(request: EmbedRequest | None = None) -> Embedded:
    """Make the vectors that are missing, in batches. Run again, it goes on where it was."""
    model = settings().embedding_model
    known = select(Embedding.document_id).filter_by(model=model)
    wanted = select(Document.id, Document.title, Document.text).where(Document.id.not_in(known)).order_by(Document.id)
    if request is not None and request.documents is not None:
        wanted = wanted.where(Document.id.in_(request.documents))
    with transaction() as session:
        rows = session.execute(wanted).all()
    made = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        vectors = language_model.embed([f"{row.title}\n{row.text}" for row in batch])
        with transaction() as session:
            made += sum(
                store_vector(session, row.id, model, vector) for row, vector in zip(batch, vectors, strict=True)
            )
    return Embedded(count=made)


class NearestRequest(BaseModel):
    """A text, and how many documents near to it are wanted."""

    text: str = Field(min_length=1)
    count: int = Field(default=10, ge=1, le=1000)


class Nearest(BaseModel):
    """Documents with the cosine of the angle between, the nearest first."""

    documents: list[tuple[str, float]]


@shared_task(name="app.tasks.embeddings.nearest", base=ServiceTask, pydantic=True, ignore_result=False)
def nearest(request: NearestRequest) -> Nearest:
    """Find the documents whose vectors are nearest to a text's."""
    (vector,) = language_model.embed([request.text])
    with transaction() as session:
        found = find_nearest(session, vector, model=settings().embedding_model, count=request.count)
    return Nearest(documents=found)
