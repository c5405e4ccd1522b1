"""What a queue must cost at least: the M/G/c wait for measured arrivals, service times and processes."""

from collections.abc import Sequence
from statistics import fmean, pvariance


def mgc_wait_seconds(*, per_second: float, service_seconds: Sequence[float], processes: int) -> float | None:
    """Return the mean wait of Poisson arrivals at so many processes; None where it grows without end.

    Erlang's C formula for M/M/c, times half of one plus the squared coefficient of variation of the service times (Lee
    and Longton, 1959): within some per cent for the loads workers should have.
    """
    if not service_seconds or not processes:
        return None
    mean = fmean(service_seconds)
    load = per_second * mean
    if load >= processes:
        return None
    variation = pvariance(service_seconds, mean) / mean**2 if mean else 0.0
    return (1 + variation) / 2 * _erlang_c(load, processes) * mean / (processes - load)


def _erlang_c(load: float, processes: int) -> float:
    """Return the probability that an arrival finds every process busy (Erlang C, by the recursion of Erlang B)."""
    blocked = 1.0
    for number in range(1, processes + 1):
        blocked = load * blocked / (number + load * blocked)
    utilisation = load / processes
    return blocked / (1 - utilisation * (1 - blocked))
