"""Why tasks started later than promised, read off the reports of the tasks beside them. Pure."""

from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from deploytools.fleet import Tier
from deploytools.load.samples import Sample

# What lasted at least this share of the time by which a task was late is called its cause.
CAUSE_SHARE = 0.5


class Cause(StrEnum):
    """The likely cause of a late start, as it follows "5 of 84 tasks"."""

    COLD = "waited for cold processes"
    SENT_LATE = "were sent late"
    BROKER = "waited for the broker to accept them"
    BUSY = "found all processes busy"
    UNKNOWN = "were late for no cause in the reports (is the machine busy?)"


def count_causes(tier: Tier, samples: Sequence[Sample]) -> dict[Cause, int]:
    """Return how many tasks of a tier waited longer than promised, by likely cause, the most frequent first."""
    runs = [_run(sample) for sample in samples if sample.started_at is not None]
    cold_runs = [_run(sample) for sample in samples if sample.first_run]
    starts, ends = sorted(start for start, _ in runs), sorted(end for _, end in runs)

    def find_cause(sample: Sample, wait_seconds: float) -> Cause:
        waited = (sample.intended_at, sample.intended_at + wait_seconds)
        enough_seconds = CAUSE_SHARE * (wait_seconds - tier.start_within_seconds)
        if _longest_overlap(waited, cold_runs) >= enough_seconds:
            return Cause.COLD
        if sample.send_delay_seconds >= enough_seconds:
            return Cause.SENT_LATE
        if sample.publish_seconds >= enough_seconds:
            return Cause.BROKER
        half_way = sum(waited) / 2
        running = bisect(starts, half_way) - bisect(ends, half_way)
        return Cause.BUSY if running >= tier.concurrency else Cause.UNKNOWN

    waits = ((sample, sample.wait_seconds or 0.0) for sample in samples)
    late = (find_cause(sample, wait) for sample, wait in waits if wait > tier.start_within_seconds)
    return dict(Counter(late).most_common())


def _run(sample: Sample) -> tuple[float, float]:
    started_at = sample.started_at or 0.0
    return started_at, started_at + (sample.run_seconds or 0.0)


def _longest_overlap(waited: tuple[float, float], runs: Iterable[tuple[float, float]]) -> float:
    return max((min(waited[1], end) - max(waited[0], start) for start, end in runs), default=0.0)


def explain(causes: dict[Cause, int], sent: int) -> str:
    """Say how many of a tier's tasks were late and why: "5 of 84 tasks waited for cold processes"."""
    (cause, count), *others = causes.items() or [(Cause.UNKNOWN, 0)]
    return ", ".join([f"{count} of {sent} tasks {cause}", *(f"{count} {cause}" for cause, count in others)])
