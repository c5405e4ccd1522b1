"""Queueing theory, against closed forms."""

import pytest

from deploytools.load.theory import mgc_wait_seconds


def test_constant_service_at_one_process_waits_half_of_exponential() -> None:
    # M/D/1: load 0.8, service 0.1 s: rho / (2 (1 - rho)) services.
    assert mgc_wait_seconds(per_second=8, service_seconds=[0.1] * 9, processes=1) == pytest.approx(0.8 / 0.4 * 0.1)


def test_erlang_c_of_a_table() -> None:
    # M/D/2 at 1 erlang: Erlang C is 1/3, so M/M/2 waits 1/3 of a service, constant service half of that.
    assert mgc_wait_seconds(per_second=1, service_seconds=[1.0] * 3, processes=2) == pytest.approx(1 / 6)


@pytest.mark.parametrize(("per_second", "processes"), [(10, 1), (11, 1), (5, 0)])
def test_an_overloaded_queue_has_no_mean_wait(per_second: float, processes: int) -> None:
    assert mgc_wait_seconds(per_second=per_second, service_seconds=[0.1], processes=processes) is None
