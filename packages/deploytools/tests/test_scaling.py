"""How many processes a promise needs: bounds, monotony, no swinging."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploytools.fleet import Autoscale
from deploytools.scaling import Averages, Demand, Pool, decide, step

seconds = st.floats(min_value=0, max_value=3600)
counts = st.integers(min_value=0, max_value=500)


@st.composite
def bounds(draw: st.DrawFn) -> Autoscale:
    least = draw(st.integers(min_value=1, max_value=32))
    return Autoscale(min=least, max=draw(st.integers(min_value=least, max_value=64)), idle_seconds=30)


demands = st.builds(
    Demand,
    processes=st.integers(min_value=1, max_value=64),
    busy=counts,
    backlog=counts,
    oldest_seconds=seconds,
    offered_work=st.floats(min_value=0, max_value=64),
    service_seconds=st.floats(min_value=0.0001, max_value=600),
)
promises = st.floats(min_value=0.01, max_value=3600)


@given(demand=demands, bounds=bounds(), promise=promises)
def test_the_target_lies_within_the_bounds(demand: Demand, bounds: Autoscale, promise: float) -> None:
    assert bounds.min <= decide(demand, bounds=bounds, promise_seconds=promise).target <= bounds.max


@given(demand=demands, more=counts, bounds=bounds(), promise=promises)
def test_more_backlog_never_wants_fewer(demand: Demand, more: int, bounds: Autoscale, promise: float) -> None:
    fuller = replace(demand, backlog=demand.backlog + more)

    fewer, larger = (decide(one, bounds=bounds, promise_seconds=promise).target for one in (demand, fuller))

    assert fewer <= larger


@given(demand=demands, older=seconds, bounds=bounds(), promise=promises)
def test_an_older_backlog_never_wants_fewer(demand: Demand, older: float, bounds: Autoscale, promise: float) -> None:
    late = replace(demand, oldest_seconds=demand.oldest_seconds + older)

    fewer, larger = (decide(one, bounds=bounds, promise_seconds=promise).target for one in (demand, late))

    assert fewer <= larger


@given(demand=demands, bounds=bounds(), promise=promises)
def test_busy_processes_are_wanted(demand: Demand, bounds: Autoscale, promise: float) -> None:
    assert decide(demand, bounds=bounds, promise_seconds=promise).target >= min(demand.busy, bounds.max)


def test_an_idle_worker_wants_its_lower_bound() -> None:
    idle = Demand(processes=8, busy=0, backlog=0, oldest_seconds=0, offered_work=0, service_seconds=0.1)

    assert decide(idle, bounds=Autoscale(min=2, max=8), promise_seconds=0.5).target == 2


def test_a_short_backlog_that_is_gone_in_time_wants_no_more_processes() -> None:
    demand = Demand(processes=4, busy=4, backlog=10, oldest_seconds=0, offered_work=1, service_seconds=0.001)

    assert decide(demand, bounds=Autoscale(min=2, max=8), promise_seconds=0.5).target == 5


@pytest.mark.parametrize("load", [0.1, 0.5, 1, 2, 3, 5, 7.5])
def test_a_steady_load_does_not_make_the_pool_swing(load: float) -> None:
    sizes = simulate(load, arrivals=evenly, seconds=600)[1200:]

    assert len(set(sizes)) == 1


@pytest.mark.parametrize("load", [0.1, 0.5, 1, 2, 3, 5, 7.5])
def test_after_a_random_peak_the_pool_stays_for_the_idle_time(load: float) -> None:
    sizes = simulate(load, arrivals=at_random, seconds=600)

    changes = [(at, new - old) for at, (old, new) in enumerate(pairwise(sizes)) if new != old]
    rests = [(later - at) * TICK_SECONDS for (at, up), (later, down) in pairwise(changes) if up == 1 and down == -1]
    assert all(rest >= SCALE.idle_seconds - TICK_SECONDS for rest in rests)


TICK_SECONDS, SERVICE_SECONDS, SCALE = 0.1, 0.2, Autoscale(min=2, max=12, idle_seconds=30)


def evenly(random: Random, tick: int, rate: float) -> int:
    return int(rate * (tick + 1)) - int(rate * tick)


def at_random(random: Random, tick: int, rate: float) -> int:
    return sum(random.random() < rate / 20 for _ in range(20))


def simulate(load: float, *, arrivals: Callable[[Random, int, float], int], seconds: int) -> list[int]:
    """Return the pool's size every tick, under tasks of one service time that keep `load` processes busy on average."""
    random, averages, ends, backlog, sizes = Random(load), Averages(average_seconds=15), list[float](), 0, [SCALE.min]
    pool = Pool(processes=SCALE.min, last_wanted_at=0, last_shrunk_at=0, settled=True)
    for tick in range(int(seconds / TICK_SECONDS)):
        now = tick * TICK_SECONDS
        running = [end for end in ends if end > now]
        finished, ends = len(ends) - len(running), running
        backlog += arrivals(random, tick, load / SERVICE_SECONDS * TICK_SECONDS)
        started = min(backlog, pool.processes - len(ends)) if pool.processes > len(ends) else 0
        backlog, ends = backlog - started, ends + [now + SERVICE_SECONDS - TICK_SECONDS / 2] * started
        averages = averages.seen(
            busy=len(ends), finished=finished, busy_seconds=finished * SERVICE_SECONDS, over_seconds=TICK_SECONDS
        )
        demand = Demand(
            processes=pool.processes,
            busy=len(ends),
            backlog=backlog,
            oldest_seconds=0,
            offered_work=averages.offered_work,
            service_seconds=averages.service_seconds,
        )
        target = decide(demand, bounds=SCALE, promise_seconds=0.5).target
        pool = replace(pool, last_wanted_at=now if target >= pool.processes else pool.last_wanted_at)
        change = step(pool, target=target, bounds=SCALE, now=now)
        last_shrunk_at = now if change < 0 else pool.last_shrunk_at
        pool = replace(pool, processes=pool.processes + change, last_shrunk_at=last_shrunk_at)
        sizes.append(pool.processes)
    return sizes


POOL = Pool(processes=4, last_wanted_at=0, last_shrunk_at=0, settled=True)
BOUNDS = Autoscale(min=1, max=8, idle_seconds=30)


def test_the_pool_grows_at_once_by_one() -> None:
    assert step(POOL, target=8, bounds=BOUNDS, now=0.01) == 1


def test_it_shrinks_by_one_after_it_was_idle_for_long_enough() -> None:
    assert step(POOL, target=1, bounds=BOUNDS, now=29) == 0
    assert step(POOL, target=1, bounds=BOUNDS, now=30) == -1


def test_it_rests_between_two_steps_down() -> None:
    shrunk = replace(POOL, last_shrunk_at=30)

    assert step(shrunk, target=1, bounds=BOUNDS, now=34) == 0
    assert step(shrunk, target=1, bounds=BOUNDS, now=35) == -1


def test_it_does_not_shrink_while_a_task_is_on_its_way_into_a_process() -> None:
    assert step(replace(POOL, settled=False), target=1, bounds=BOUNDS, now=100) == 0


def test_it_shrinks_at_once_when_the_upper_bound_was_lowered() -> None:
    assert step(POOL, target=2, bounds=Autoscale(min=1, max=2, idle_seconds=30), now=0.01) == -1
