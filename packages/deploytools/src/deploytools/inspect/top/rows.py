"""Two samples → what happened between them, a row a tier."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploytools.inspect.top.sample import Counts, Sample, TierSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One tier. Waits (seconds) and failures are of the time between the samples; None: nothing to tell.

    `in_per_second` is what was taken up for the first time and what the queue grew by; `out_per_second` what ended.
    """

    tier: str
    depth: int | None
    oldest_seconds: float | None
    promise_seconds: float
    p50_seconds: float | None
    p99_seconds: float | None
    in_per_second: float
    out_per_second: float
    busy: int
    idle: int
    most: int
    failures: int
    dead: int | None
    is_paused: bool


def compare(earlier: Sample, later: Sample, *, lately: Sample | None = None) -> tuple[Row, ...]:
    """Return a row a tier; rates are taken since `lately`, if given, so that they follow what happens now."""
    recent = lately or earlier
    return tuple(
        _row(_tier(earlier, tier), _tier(recent, tier), tier, seconds=later.at - recent.at) for tier in later.tiers
    )


def as_json(earlier: Sample, later: Sample) -> dict[str, Any]:
    """Return what happened between two samples as plain data."""
    return {
        "seconds": later.at - earlier.at,
        "tiers": {row.tier: asdict(row) for row in compare(earlier, later)},
        "beats": later.beats,
        "beat_idle_seconds": later.beat_idle_seconds,
        "is_broker_up": later.is_broker_up,
    }


def quantile(waits: Mapping[float, float], share: float) -> float | None:
    """Return the wait that this share of tasks did not exceed, as Prometheus does: even within a bucket.

    What lies above the last bound counts as that bound; None where nothing was counted.
    """
    total = max(waits.values(), default=0)
    if total <= 0:
        return None
    wanted, below, floor = share * total, 0.0, 0.0
    for bound, count in sorted(waits.items()):
        if count >= wanted and count > below:
            return floor if math.isinf(bound) else floor + (bound - floor) * (wanted - below) / (count - below)
        below, floor = count, bound
    return floor


def _row(earlier: TierSample | None, recent: TierSample | None, later: TierSample, *, seconds: float) -> Row:
    window, lately = _since(earlier, later), _since(recent, later)
    grown = (later.depth or 0) - (recent.depth or 0) if recent else 0
    return Row(
        tier=later.name,
        depth=later.depth,
        oldest_seconds=later.oldest_seconds,
        promise_seconds=later.promise_seconds,
        p50_seconds=quantile(window.waits, 0.5),
        p99_seconds=quantile(window.waits, 0.99),
        in_per_second=max(0.0, lately.taken + grown) / seconds if seconds > 0 else 0.0,
        out_per_second=(lately.completed + lately.failed) / seconds if seconds > 0 else 0.0,
        busy=later.busy,
        idle=later.idle,
        most=later.most,
        failures=int(window.failed),
        dead=later.dead,
        is_paused=later.is_paused,
    )


def _tier(sample: Sample, like: TierSample) -> TierSample | None:
    return next((tier for tier in sample.tiers if tier.name == like.name), None)


def _since(earlier: TierSample | None, later: TierSample) -> Counts:
    before = earlier.counts if earlier else {}
    return _sum(counts.since(before.get(pid, Counts())) for pid, counts in later.counts.items())


def _sum(all_counts: Iterable[Counts]) -> Counts:
    taken = completed = failed = 0.0
    waits: dict[float, float] = {}
    for counts in all_counts:
        taken, completed, failed = taken + counts.taken, completed + counts.completed, failed + counts.failed
        for bound, count in counts.waits.items():
            waits[bound] = waits.get(bound, 0) + count
    return Counts(taken=taken, completed=completed, failed=failed, waits=waits)
