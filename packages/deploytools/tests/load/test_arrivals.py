"""When tasks are to be sent."""

from itertools import islice, pairwise
from random import Random

import pytest

from deploytools.load.arrivals import at_random, evenly, in_bursts


def test_random_arrivals_come_at_the_wanted_rate_in_order() -> None:
    times = list(islice(at_random(50, Random(1)), 5000))

    assert times == sorted(times)
    assert len(times) / times[-1] == pytest.approx(50, rel=0.05)


def test_random_gaps_vary_as_much_as_they_last() -> None:
    gaps = [later - earlier for earlier, later in pairwise(islice(at_random(5, Random(7)), 20_000))]

    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others() -> None:
    one, same, other = (list(islice(at_random(5, Random(seed)), 100)) for seed in (7, 7, 8))

    assert one == same != other


def test_even_arrivals_have_one_distance() -> None:
    assert list(islice(evenly(4), 4)) == [0, 0.25, 0.5, 0.75]


def test_bursts_come_at_once_and_again() -> None:
    assert list(islice(in_bursts(3, 10), 7)) == [0, 0, 0, 10, 10, 10, 20]
