"""The leaderboard (tier low)."""

from typing import Any

from celery import Task, shared_task
from pydantic import BaseModel
from sqlalchemy import select

from app.core.task import ServiceTask
from app.services.database import insert_once, transaction
from app.services.ratings import rate
from app.services.tables import Outcome, Rating, Vote, now

SHARES = {Outcome.A: 1.0, Outcome.TIE: 0.5, Outcome.B: 0.0}


class Ranking(BaseModel):
    """Models with their ratings, the best first."""

    ratings: dict[str, float]


@shared_task(name="app.tasks.leaderboard.compute", base=ServiceTask, bind=True, pydantic=True)
def compute(self: "Task[..., Any]") -> Ranking:
    """Rate all models from all votes, and append the run to the history. The same task run again changes nothing."""
    with transaction() as session:
        rows = session.execute(select(Vote.model_a, Vote.model_b, Vote.outcome).order_by(Vote.at, Vote.id)).all()
    rated = rate([(row.model_a, row.model_b, SHARES[Outcome(row.outcome)]) for row in rows])
    at = now()
    with transaction() as session:
        for each in rated:
            insert_once(
                session,
                Rating,
                run=self.request.id,
                model=each.model,
                at=at,
                rating=each.rating,
                low=each.low,
                high=each.high,
                votes=each.votes,
            )
    return Ranking(ratings={each.model: each.rating for each in rated})
