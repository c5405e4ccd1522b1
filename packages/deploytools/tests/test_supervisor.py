"""How long to wait before a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploytools.supervisor import MAX_RESTART_SECONDS, restart_delay_seconds


@pytest.mark.parametrize(
    ("quick_ends", "delay_seconds"),
    [
        pytest.param(0, 0.2, id="ran-well"),
        pytest.param(1, 0.4, id="ended-soon-once"),
        pytest.param(7, 25.6, id="the-last-below-the-longest"),
        pytest.param(8, 30.0, id="the-longest"),
        pytest.param(5000, 30.0, id="never-longer"),
    ],
)
def test_a_restart_waits_twice_as_long_each_time_up_to_half_a_minute(quick_ends: int, delay_seconds: float) -> None:
    assert restart_delay_seconds(quick_ends) == pytest.approx(delay_seconds)


@given(st.integers(0, 10_000))
def test_a_restart_never_waits_less_than_the_one_before(quick_ends: int) -> None:
    assert 0 < restart_delay_seconds(quick_ends) <= restart_delay_seconds(quick_ends + 1) <= MAX_RESTART_SECONDS
