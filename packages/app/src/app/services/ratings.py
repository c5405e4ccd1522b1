"""Ratings from votes: the model of Bradley and Terry, on the scale that chess uses.

Of two models, one wins with the odds 10 ** (difference of ratings / 400). A tie counts as half a win of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEAN = 1000.0
SCALE = 400.0
# Half a win and half a loss of each model against an average one: who won every vote gets a finite rating.
PRIOR = 0.5
MAX_ROUNDS = 1000
EXACT = 1e-6
BOOTSTRAPS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Rated:
    """A model's rating, and the bounds of its 95 % interval."""

    model: str
    rating: float
    low: float
    high: float
    votes: int


def rate(votes: Sequence[tuple[str, str, float]], *, seed: int = 0) -> list[Rated]:
    """Rate all models, the best first; a vote is (a, b, share of the win that a has: 1, 0.5 or 0)."""
    models = sorted({model for vote in votes for model in vote[:2]})
    if not models:
        return []
    number = {model: index for index, model in enumerate(models)}
    battles = np.array([(number[a], number[b], share) for a, b, share in votes])
    ratings = _fit(_count_wins(battles, len(models)))
    random = np.random.default_rng(seed)
    drawn = [battles[random.integers(len(battles), size=len(battles))] for _ in range(BOOTSTRAPS)]
    spread = _fit(np.array([_count_wins(sample, len(models)) for sample in drawn]))
    low, high = np.percentile(spread, [2.5, 97.5], axis=0)
    counts = np.bincount(battles[:, :2].astype(int).ravel(), minlength=len(models))
    rated = [
        Rated(
            model=model,
            rating=float(ratings[index]),
            low=float(low[index]),
            high=float(high[index]),
            votes=int(counts[index]),
        )
        for index, model in enumerate(models)
    ]
    return sorted(rated, key=lambda each: -each.rating)


def _count_wins(battles: NDArray[np.float64], models: int) -> NDArray[np.float64]:
    """Return wins[a, b]: how often a won against b."""
    wins = np.zeros((models, models))
    a, b = battles[:, 0].astype(int), battles[:, 1].astype(int)
    np.add.at(wins, (a, b), battles[:, 2])
    np.add.at(wins, (b, a), 1 - battles[:, 2])
    return wins


def _fit(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the most likely strengths by Hunter's minorize-maximize steps (Annals of Statistics 32, 2004).

    `wins` is one table, or a stack of them, which take their steps together.
    """
    games = wins + wins.swapaxes(-1, -2)
    won = wins.sum(axis=-1) + PRIOR
    strength = np.ones(wins.shape[:-1])
    for _ in range(MAX_ROUNDS):
        expected = (games / (strength[..., :, None] + strength[..., None, :])).sum(axis=-1) + 2 * PRIOR / (strength + 1)
        better = won / expected
        done = np.max(np.abs(np.log(better / strength))) < EXACT
        strength = better
        if done:
            break
    rated: NDArray[np.float64] = MEAN + SCALE * np.log10(
        strength / np.exp(np.mean(np.log(strength), axis=-1, keepdims=True))
    )
    return rated
