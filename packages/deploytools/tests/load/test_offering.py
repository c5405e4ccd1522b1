"""Arrivals at random moments."""

from itertools import islice, pairwise
from random import Random

import pytest

from deploytools.load.offering import poisson_arrivals


def arrivals(count: int, *, per_second: float = 5.0, seed: int = 7) -> list[float]:
    """Return the first arrivals, in seconds from the start."""
    return list(islice(poisson_arrivals(per_second=per_second, random=Random(seed)), count))


@pytest.mark.parametrize("per_second", [0.1, 5.0, 400.0])
def test_arrivals_come_at_the_rate_that_was_asked_for(per_second: float) -> None:
    last = arrivals(20_000, per_second=per_second)[-1]

    assert 20_000 / last == pytest.approx(per_second, rel=0.03)  # 4 standard deviations


def test_gaps_vary_as_much_as_they_last() -> None:
    gaps = [later - earlier for earlier, later in pairwise(arrivals(20_000))]

    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_arrivals_go_forward_in_time() -> None:
    times = [0.0, *arrivals(1000)]

    assert all(earlier < later for earlier, later in pairwise(times))


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others() -> None:
    assert arrivals(100) == arrivals(100)
    assert arrivals(100) != arrivals(100, seed=8)
