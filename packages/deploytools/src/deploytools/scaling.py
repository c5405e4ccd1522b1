"""How many processes a tier's promise needs now. Pure: numbers in, a number and its reason out.

Terms: *busy* processes run a task; *backlog* is what waits for a process, here or in the broker; a task's *service
time* is how long it runs. Offered work is the mean number of busy processes (Little's law: arrivals by service time).
"""

from dataclasses import dataclass, replace
from math import ceil, exp, sqrt

from deploytools.fleet import Autoscale

# The backlog shall be gone in this part of what is left of the promise: service times are means, and forks take time.
BACKLOG_SHARE = 0.5
# However late the oldest task is already, the rest is not worth more processes than this part of the promise asks for.
MIN_TIME_LEFT_SHARE = 0.1
# Mean service time until one was measured: an ordinary task, neither a no-op nor a report.
ASSUMED_SERVICE_SECONDS = 0.1
# Square-root staffing (Halfin and Whitt, 1981): this many standard deviations of the busy processes are kept spare.
SPARE_DEVIATIONS = 2.0
# Offered work is averaged over this part of the idle time: longer than a burst, and forgotten when that time is over.
AVERAGE_SHARE = 0.5
# Once the idle time is over, processes are stopped one at a time, this part of it apart.
SHRINK_EVERY_SHARE = 1 / 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a worker sees. `oldest_seconds` is how long the first of the backlog has waited; 0 where nothing waits."""

    processes: int
    busy: int
    backlog: int
    oldest_seconds: float
    offered_work: float
    service_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """How many processes are wanted, and why."""

    target: int
    reason: str


def decide(demand: Demand, *, bounds: Autoscale, promise_seconds: float) -> Decision:
    """Return the processes wanted now, within bounds; never fewer than are busy while bounds allow.

    More backlog never wants fewer processes.
    """
    steady = ceil(demand.offered_work + SPARE_DEVIATIONS * sqrt(demand.offered_work))
    time_left = max(promise_seconds - demand.oldest_seconds, MIN_TIME_LEFT_SHARE * promise_seconds)
    catching_up = ceil(demand.backlog * demand.service_seconds / (BACKLOG_SHARE * time_left))
    wanted = max(steady, demand.busy + min(catching_up, demand.backlog))
    target = min(max(wanted, bounds.min), bounds.max)
    reason = (
        f"{demand.busy} busy; steady load of {demand.offered_work:.1f} wants {steady}; "
        f"backlog of {demand.backlog} x {demand.service_seconds:.3f} s in {time_left:.2f} s wants "
        f"{min(catching_up, demand.backlog)} more; {wanted} within {bounds.min}-{bounds.max} is {target}"
    )
    return Decision(target=target, reason=reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Averages:
    """Exponentially weighted means of what was seen, over a time (`average_seconds`)."""

    average_seconds: float

    offered_work: float = 0.0
    service_seconds: float = ASSUMED_SERVICE_SECONDS

    def seen(self, *, busy: int, finished: int, busy_seconds: float, over_seconds: float) -> "Averages":
        """Return the averages after some more seconds, in which so many tasks ended after so much work."""
        weight = 1 - exp(-over_seconds / self.average_seconds)
        averaged = replace(self, offered_work=self.offered_work + weight * (busy - self.offered_work))
        if finished == 0:
            return averaged
        # A service time counts by the number of tasks it is the mean of: one that was measured once is a guess.
        share = 1 - exp(-finished / 10)
        service = self.service_seconds + share * (busy_seconds / finished - self.service_seconds)
        return replace(averaged, service_seconds=service)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A pool's recent past: when it last wanted all its processes, and last lost one; seconds of one clock.

    `settled` is false while a task is on its way into a process, which looks idle and is not, and while a process that
    was stopped is still there: billiard would stop the same one again, and count one less.
    """

    processes: int
    last_wanted_at: float
    last_shrunk_at: float
    settled: bool


def step(pool: Pool, *, target: int, bounds: Autoscale, now: float) -> int:
    """Return how many processes to add (1), remove (-1) or leave (0) at this moment.

    One at a time: a fork stalls the consumer for some milliseconds, and a removed process may be wanted again soon.
    """
    if target > pool.processes:
        return 1
    if target == pool.processes or not pool.settled:
        return 0
    rested = (
        now - pool.last_wanted_at >= bounds.idle_seconds
        and now - pool.last_shrunk_at >= bounds.idle_seconds * SHRINK_EVERY_SHARE
    )
    return -1 if rested or pool.processes > bounds.max else 0
