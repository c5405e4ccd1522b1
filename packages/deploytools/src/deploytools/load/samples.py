"""One record a task, from its intended send time to its end; and the account of a run made of them."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A task that was sent. Times are seconds of the epoch; None: not yet.

    The wait counts from `intended_at`, when the schedule wanted it sent: a generator or broker that falls behind makes
    waits longer instead of hiding them (coordinated omission). `first_run`: of its task in its pool process.
    """

    id: str
    tier: str
    intended_at: float
    published_at: float | None = None
    publish_seconds: float = 0.0
    started_at: float | None = None
    run_seconds: float | None = None
    state: str | None = None
    node: str = ""
    first_run: bool = False

    @property
    def wait_seconds(self) -> float | None:
        """From the intended send time to the start."""
        return None if self.started_at is None else max(0.0, self.started_at - self.intended_at)

    @property
    def send_delay_seconds(self) -> float:
        """How late it was sent."""
        return 0.0 if self.published_at is None else max(0.0, self.published_at - self.intended_at)


@dataclass
class Account:
    """Every task of a run, by id. A second report of the same task changes nothing. Safe to use from threads."""

    samples: dict[str, Sample] = field(default_factory=dict)
    refused: int = 0
    duplicates: int = 0
    sent_by_beat: set[str] = field(default_factory=set)  # ids of tasks that beat sent meanwhile
    _outstanding: Counter[str] = field(default_factory=Counter)  # by tier name
    _lock: Lock = field(default_factory=Lock, repr=False)

    def intend(self, task_id: str, tier: str, intended_at: float) -> Sample:
        """Note a task that is about to be published."""
        sample = Sample(id=task_id, tier=tier, intended_at=intended_at, published_at=time.time())
        with self._lock:
            self.samples[task_id] = sample
            self._outstanding[tier] += 1
        return sample

    def publish(self, task_id: str, *, publish_seconds: float) -> Sample:
        """Note that the broker accepted it; it may have been heard of already."""
        with self._lock:
            self.samples[task_id] = sample = replace(self.samples[task_id], publish_seconds=publish_seconds)
        return sample

    def refuse(self, task_id: str) -> None:
        """Note that the broker did not accept it: it is not part of the account."""
        with self._lock:
            sample = self.samples.pop(task_id)
            self._outstanding[sample.tier] -= sample.state is None  # it may have run although the answer was lost
            self.refused += 1

    def adopt(self, sample: Sample) -> None:
        """Take over what another process of this run knows of a task it sends; its newest record counts."""
        with self._lock:
            before = self.samples.get(sample.id)
            self.samples[sample.id] = sample
            self._outstanding[sample.tier] += (sample.state is None) - (before is not None and before.state is None)

    def forget_unheard(self, tiers: Iterable[str]) -> int:
        """Remove tasks whose process can no longer hear of them: they are not lost, but unknown. Return how many."""
        with self._lock:
            unknown = [id_ for id_, sample in self.samples.items() if sample.state is None and sample.tier in tiers]
            for id_ in unknown:
                self._outstanding[self.samples.pop(id_).tier] -= 1
            return len(unknown)

    def hear(self, report: Mapping[str, Any]) -> Sample | None:
        """Note a probe's report; return the sample if it is new and ours."""
        with self._lock:
            sample = self.samples.get(report["id"])
            if sample is None:
                if report.get("beat"):
                    self.sent_by_beat.add(report["id"])
                return None
            if sample.state is not None:
                self.duplicates += 1
                return None
            heard = replace(
                sample,
                started_at=report["started_at"],
                run_seconds=report["run_seconds"],
                state=report["state"],
                node=report["node"],
                first_run=report.get("first_run", False),
            )
            self.samples[sample.id] = heard
            self._outstanding[sample.tier] -= 1
        return heard

    def unheard(self) -> list[str]:
        """Return the ids of those that were accepted and not yet heard of."""
        with self._lock:
            return [sample.id for sample in self.samples.values() if sample.state is None]

    def outstanding(self, tier: str | None = None) -> int:
        """Return how many were accepted and not yet heard of."""
        with self._lock:
            return self._outstanding[tier] if tier else self._outstanding.total()


def as_rows(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Return samples as plain data, to be sent between processes or saved."""
    return [asdict(sample) for sample in samples]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Return samples from plain data."""
    return [Sample(**row) for row in rows]
