"""Ratings from votes."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.ratings import SCALE, rate

Votes = list[tuple[str, str, float]]


def test_two_models_differ_by_the_odds_of_their_votes() -> None:
    votes: Votes = [("a", "b", 1.0)] * 3000 + [("a", "b", 0.0)] * 1000

    strong, weak = rate(votes)

    assert (strong.model, weak.model) == ("a", "b")
    assert strong.rating - weak.rating == pytest.approx(SCALE * math.log10(3), abs=1)
    assert strong.low < strong.rating < strong.high


def test_more_votes_make_the_interval_narrower() -> None:
    random = Random(0)

    def width(count: int) -> float:
        first = rate([("a", "b", float(random.random() < 0.6)) for _ in range(count)])[0]
        return first.high - first.low

    assert width(2000) < width(100) / 2


def test_who_won_every_vote_is_rated_finitely() -> None:
    assert all(math.isfinite(each.rating) for each in rate([("a", "b", 1.0)] * 10))


def test_no_votes_rate_nobody() -> None:
    assert rate([]) == []


@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=1,
        max_size=30,
    )
)
def test_neither_the_order_of_votes_nor_of_models_matters(votes: Votes) -> None:
    turned = [(b, a, 1 - share) for a, b, share in reversed(votes)]

    first = {each.model: each.rating for each in rate(votes)}
    second = {each.model: each.rating for each in rate(turned)}

    assert first == pytest.approx(second, abs=0.1)
    assert sum(first.values()) / len(first) == pytest.approx(1000)
