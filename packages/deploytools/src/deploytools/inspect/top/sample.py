"""What the processes of a fleet say of themselves at one moment, summed up by tier."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploytools.broker.queues import QueueState
from deploytools.fleet import Fleet
from deploytools.transport.dead import dead_queue

Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scrape:
    """The metrics of one process, as (name, labels, value). `tiers` are those it works for; beat works for none."""

    pid: str
    worker: str
    tiers: tuple[str, ...]
    series: tuple[tuple[str, Labels, float], ...]

    def value(self, name: str) -> float | None:
        """Return the sum of a metric; None where it is not told."""
        found = [value for series, _, value in self.series if series == name]
        return sum(found) if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What one worker counted for one tier since it started. `waits`: upper bound in seconds → tasks up to it."""

    taken: float = 0
    completed: float = 0
    failed: float = 0
    waits: Mapping[float, float] = field(default_factory=dict)

    def since(self, earlier: "Counts") -> "Counts":
        """Return what was counted after an earlier moment."""
        return Counts(
            taken=self.taken - earlier.taken,
            completed=self.completed - earlier.completed,
            failed=self.failed - earlier.failed,
            waits={bound: count - earlier.waits.get(bound, 0) for bound, count in self.waits.items()},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TierSample:
    """One tier. `counts` are kept by process: a restart begins at 0, and a process that is gone takes its own along.

    A worker of several tiers counts its processes for each. None: it cannot be known.
    """

    name: str
    promise_seconds: float
    depth: int | None
    oldest_seconds: float | None
    dead: int | None
    busy: int
    idle: int
    most: int
    workers: tuple[str, ...]
    is_paused: bool
    counts: Mapping[str, Counts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The fleet at a moment (`at`: seconds of a clock that never jumps)."""

    at: float
    tiers: tuple[TierSample, ...]
    beats: int
    beat_idle_seconds: float | None
    ticks: int
    is_broker_up: bool
    memory_bytes: float | None


def sum_up(
    fleet: Fleet,
    scrapes: Iterable[Scrape],
    *,
    at: float,
    queues: Mapping[str, QueueState] | None,
    consumed: Mapping[str, set[str]],
) -> Sample:
    """Sum up what processes said.

    `queues`: what waits, None if the broker does not answer; `consumed`: worker → queues it takes from.
    """
    scrapes = list(scrapes)
    beats = [scrape for scrape in scrapes if scrape.value("celery_beat_leader") is not None]
    leader = leading_beat(scrapes)
    return Sample(
        at=at,
        tiers=tuple(_sum_up_tier(fleet, tier.name, scrapes, queues or {}, consumed) for tier in fleet),
        beats=len(beats),
        beat_idle_seconds=leader.value("celery_beat_idle_seconds") if leader else None,
        ticks=int(sum(beat.value("celery_beat_ticks_total") or 0 for beat in beats)),
        is_broker_up=queues is not None,
        memory_bytes=leader.value("celery_broker_memory_bytes") if leader else None,
    )


def leading_beat(scrapes: Iterable[Scrape]) -> Scrape | None:
    """Return the beat that sends, which tells of queues too."""
    return next((scrape for scrape in scrapes if scrape.value("celery_beat_leader")), None)


def told_queues(fleet: Fleet, leader: Scrape) -> dict[str, QueueState] | None:
    """Return what the leading beat says of queues; None where the broker does not answer it."""
    if not leader.value("celery_broker_up"):
        return None
    told = {(name, labels.get("queue")): value for name, labels, value in leader.series}
    states = {}
    for tier in fleet:
        states[tier.queue] = QueueState(
            name=tier.queue,
            depth=int(told.get(("celery_queue_depth", tier.queue), 0)),
            oldest_seconds=told.get(("celery_queue_oldest_seconds", tier.queue)),
        )
        dead = dead_queue(tier.queue)
        count = int(told.get(("celery_dead_letters", tier.queue), 0))
        states[dead] = QueueState(name=dead, depth=count, oldest_seconds=None)
    return states


def _sum_up_tier(
    fleet: Fleet,
    name: str,
    scrapes: Iterable[Scrape],
    queues: Mapping[str, QueueState],
    consumed: Mapping[str, set[str]],
) -> TierSample:
    tier = fleet.tier(name)
    mine = [scrape for scrape in scrapes if name in scrape.tiers]
    waits, dead = queues.get(tier.queue), queues.get(dead_queue(tier.queue))
    states: Counter[str] = Counter()
    for scrape in mine:
        for series, labels, value in scrape.series:
            if series == "celery_worker_processes":
                states[labels["state"]] += int(value)
    heard = [consumed[scrape.worker] for scrape in mine if scrape.worker in consumed]
    return TierSample(
        name=name,
        promise_seconds=tier.start_within_seconds,
        depth=waits.depth if waits else None,
        oldest_seconds=waits.oldest_seconds if waits else None,
        dead=dead.depth if dead else None,
        busy=states["busy"],
        idle=states["idle"],
        most=int(sum(scrape.value("celery_worker_processes_max") or 0 for scrape in mine)),
        workers=tuple(scrape.worker for scrape in mine),
        is_paused=bool(heard) and not any(tier.queue in names for names in heard),
        counts={scrape.pid: _counts(scrape, name) for scrape in mine},
    )


def _counts(scrape: Scrape, tier: str) -> Counts:
    sums: Counter[str] = Counter()
    waits: dict[float, float] = {}
    for name, labels, value in scrape.series:
        if labels.get("tier") != tier:
            continue
        if name == "celery_task_wait_seconds_bucket":
            bound = float(labels["le"])
            waits[bound] = waits.get(bound, 0) + value
        else:
            sums[name] += int(value)
    return Counts(
        taken=sums["celery_task_submissions_total"],
        completed=sums["celery_task_completions_total"],
        failed=sums["celery_task_failures_total"],
        waits=waits,
    )
