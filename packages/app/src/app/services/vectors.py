"""Vectors beside the documents they describe, and which are near each other."""

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.database import insert_once
from app.services.tables import Embedding

FORMAT = np.dtype("<f4")


def store_vector(session: Session, document: str, model: str, vector: list[float]) -> bool:
    """Keep a document's vector, unless there is one by that model; say whether it was kept."""
    encoded = np.asarray(vector, FORMAT).tobytes()
    return insert_once(session, Embedding, document_id=document, model=model, vector=encoded)


def nearest(session: Session, vector: list[float], *, model: str, count: int) -> list[tuple[str, float]]:
    """Return the documents nearest to a vector, with the cosine of the angle between, the nearest first.

    Compares with every vector: exact, and quick up to some 100,000 documents.
    """
    rows = session.execute(select(Embedding.document_id, Embedding.vector).filter_by(model=model)).all()
    if not rows:
        return []
    matrix = np.stack([np.frombuffer(row.vector, FORMAT) for row in rows])
    wanted = np.asarray(vector, FORMAT)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(wanted)
    cosines = matrix @ wanted / np.where(lengths == 0, 1, lengths)
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(rows[index].document_id, float(cosines[index])) for index in best]
