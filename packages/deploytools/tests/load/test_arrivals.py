from itertools import islice
from random import Random

import pytest

from deploytools.load.arrivals import at_random, evenly, in_bursts


def test_random_arrivals_come_at_the_wanted_rate_in_order() -> None:
    times = list(islice(at_random(50, Random(1)), 5000))

    assert times == sorted(times)
    assert len(times) / times[-1] == pytest.approx(50, rel=0.05)


def test_even_arrivals_have_one_distance() -> None:
    assert list(islice(evenly(4), 4)) == [0, 0.25, 0.5, 0.75]


def test_bursts_come_at_once_and_again() -> None:
    assert list(islice(in_bursts(3, 10), 7)) == [0, 0, 0, 10, 10, 10, 20]
