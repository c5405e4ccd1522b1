"""What a run came to: pure numbers from its samples, and the verdict on the fleet's promises."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from deploytools.fleet import Fleet, Tier
from deploytools.load.causes import Cause, count_causes, explain
from deploytools.load.histogram import encode, histogram, quantile_seconds
from deploytools.load.profile import Profile, Saturate
from deploytools.load.samples import Sample
from deploytools.load.theory import mgc_wait_seconds

PERCENTS = (50, 95, 99, 99.9, 100)
# A generator that sends later than this (p99) did not offer what the profile says.
MAX_SEND_DELAY_SECONDS = 0.02
# Of the tightest promise: a wait is the difference of two clocks.
MAX_CLOCK_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Percentiles of some times in seconds ("p50", …, "p100"), and all of them as an encoded HDR histogram."""

    count: int
    percentiles: dict[str, float | None]
    histogram: str

    @classmethod
    def of(cls, seconds: Iterable[float | None]) -> "Times":
        """Sum up some times; None is left out."""
        made = histogram(value for value in seconds if value is not None)
        return cls(
            count=made.get_total_count(),
            percentiles={f"p{p:g}": quantile_seconds(made, p) for p in PERCENTS},
            histogram=encode(made),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Second:
    """One second of a run, by when tasks were meant to be sent: how many, and how long they waited."""

    at: int
    sent: int
    wait_p50_seconds: float | None
    wait_max_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TierLoad:
    """One tier's account. `floor_seconds` is the M/G/c mean wait for what was measured, None where none is defined.

    `first_run` and `later_run` part `run` in two: the first run of a task in its pool process, and those after it.
    `late` counts the tasks that waited longer than promised, by likely cause.
    """

    name: str
    promise_seconds: float
    sent: int
    done: int
    failed: int
    lost: int
    wait: Times
    publish: Times
    run: Times
    first_run: Times
    later_run: Times
    late: dict[Cause, int]
    send_delay_p99_seconds: float
    mean_wait_seconds: float | None
    processes: int
    floor_seconds: float | None
    seconds: tuple[Second, ...]

    @property
    def held(self) -> bool:
        """Whether 99 of 100 tasks started in time."""
        p99 = self.wait.percentiles["p99"]
        return p99 is not None and p99 <= self.promise_seconds

    def problems(self) -> list[str]:
        """Say what was not kept, each in one line."""
        found = []
        p99 = self.wait.percentiles["p99"]
        if p99 is not None and p99 > self.promise_seconds:
            found.append(
                f"tier {self.name}: wait p99 is {p99:.3f} s, {p99 / self.promise_seconds:.1f} x the promise of "
                f"{self.promise_seconds:g} s; {explain(self.late, self.sent)}"
            )
        if self.lost:
            found.append(f"tier {self.name}: {self.lost} of {self.sent} accepted tasks were never heard of")
        if self.failed:
            found.append(f"tier {self.name}: {self.failed} of {self.sent} tasks failed")
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A whole run. `context`: where and with what; `send_delay_p99_seconds`: whether it can be believed.

    `missing_generators`: how many processes that sent tasks did not hand over their part of the account. `failures`:
    why parts that were handed over are incomplete.
    """

    profile: str
    tiers: tuple[TierLoad, ...]
    refused: int
    may_be_refused: bool
    missing_generators: int
    failures: tuple[str, ...]
    duplicates: int
    broker_round_trip_seconds: float | None
    send_delay_p99_seconds: float
    context: dict[str, Any]

    def problems(self) -> list[str]:
        """Say why this run does not pass, each reason in one line."""
        found = [problem for tier in self.tiers for problem in tier.problems()]
        if self.send_delay_p99_seconds > MAX_SEND_DELAY_SECONDS:
            found.insert(
                0,
                f"the generator fell behind (sent {self.send_delay_p99_seconds * 1000:.0f} ms late at p99, "
                f"{MAX_SEND_DELAY_SECONDS * 1000:.0f} allowed): lower the rates or add --processes",
            )
        if self.missing_generators:
            found.insert(0, f"{self.missing_generators} of the generators ended without an account: see their logs")
        found[:0] = self.failures
        if self.refused and not self.may_be_refused:
            found.append(f"the broker refused {self.refused} tasks: is it up, and has it memory left?")
        found += self._clock_problems()
        if not any(tier.sent for tier in self.tiers):
            found.append("nothing was sent: does [fleet] workload offer tasks of these tiers?")
        return found

    def _clock_problems(self) -> list[str]:
        allowed = MAX_CLOCK_SHARE * min(tier.promise_seconds for tier in self.tiers)
        offsets: dict[str, tuple[float, float]] = self.context.get("clock_offsets", {})
        return [
            f"the clock of {node} differs by {seconds:+.3f} s: its waits cannot be believed: keep clocks in step (NTP)"
            for node, (seconds, uncertainty) in offsets.items()
            if abs(seconds) - uncertainty > allowed
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the run as plain data."""
        return asdict(self) | {"problems": self.problems()}


def sum_up(
    samples: Sequence[Sample],
    *,
    fleet: Fleet,
    profile: Profile,
    processes: dict[str, int],
    round_trips: Sequence[float],
    refused: int,
    missing_generators: int,
    failures: Sequence[str],
    duplicates: int,
    context: dict[str, Any],
) -> RunResult:
    """Return a run's result from its samples; `processes` counts each tier's at the end."""
    scheduled = [
        sample.send_delay_seconds
        for tier in fleet
        if not isinstance(profile.shape(fleet, tier), Saturate)
        for sample in samples
        if sample.tier == tier.name
    ]
    return RunResult(
        profile=profile.name,
        tiers=tuple(
            tier_load(tier, [sample for sample in samples if sample.tier == tier.name], processes.get(tier.name, 0))
            for tier in fleet
        ),
        refused=refused,
        may_be_refused=profile.may_be_refused,
        missing_generators=missing_generators,
        failures=tuple(failures),
        duplicates=duplicates,
        broker_round_trip_seconds=median(round_trips) if round_trips else None,
        send_delay_p99_seconds=quantile_seconds(histogram(scheduled), 99) or 0.0,
        context=context,
    )


def tier_load(tier: Tier, samples: Sequence[Sample], processes: int) -> TierLoad:
    """Sum up a tier's samples."""
    heard = [sample for sample in samples if sample.state is not None]
    waits = [sample.wait_seconds for sample in heard if sample.wait_seconds is not None]
    runs = [sample.run_seconds for sample in heard if sample.run_seconds is not None]
    done = sum(sample.state == "SUCCESS" for sample in heard)
    span = max((s.intended_at for s in samples), default=0.0) - min((s.intended_at for s in samples), default=0.0)
    floor = (
        mgc_wait_seconds(per_second=len(samples) / span, service_seconds=runs, processes=processes) if span else None
    )
    return TierLoad(
        name=tier.name,
        promise_seconds=tier.start_within_seconds,
        sent=len(samples),
        done=done,
        failed=len(heard) - done,
        lost=len(samples) - len(heard),
        wait=Times.of(waits),
        publish=Times.of(sample.publish_seconds for sample in samples),
        run=Times.of(runs),
        first_run=Times.of(sample.run_seconds for sample in heard if sample.first_run),
        later_run=Times.of(sample.run_seconds for sample in heard if not sample.first_run),
        late=count_causes(tier, heard),
        send_delay_p99_seconds=quantile_seconds(histogram(sample.send_delay_seconds for sample in samples), 99) or 0.0,
        mean_wait_seconds=fmean(waits) if waits else None,
        processes=processes,
        floor_seconds=floor,
        seconds=tuple(_by_second(samples)),
    )


def _by_second(samples: Sequence[Sample]) -> Iterable[Second]:
    if not samples:
        return
    start = min(sample.intended_at for sample in samples)
    buckets: dict[int, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(int(sample.intended_at - start), []).append(sample)
    for at, bucket in sorted(buckets.items()):
        waits = [sample.wait_seconds for sample in bucket if sample.wait_seconds is not None]
        yield Second(
            at=at,
            sent=len(bucket),
            wait_p50_seconds=median(waits) if waits else None,
            wait_max_seconds=max(waits, default=None),
        )
