"""What was sent, and what came back: the account a run is judged by."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import quantiles
from threading import Lock
from typing import Any

from deploytools.fleet import Tier


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How one task went, as the worker's probe tells it. Times in seconds."""

    id: str
    queue: str
    state: str
    wait_seconds: float
    run_seconds: float
    beat: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResult:
    """The account of one tier. Percentiles are None where nothing was done; `held` says p99 kept the promise."""

    sent: int
    done: int
    failed: int
    wait_seconds: dict[str, float | None]
    run_seconds: dict[str, float | None]
    promise_seconds: float
    held: bool


@dataclass
class Ledger:
    """Counts tasks by id, so that a second report of the same task changes nothing. Safe to use from threads."""

    _sent: dict[str, str] = field(default_factory=dict)  # task id → tier name
    _reports: dict[str, Report] = field(default_factory=dict)
    _outstanding: Counter[str] = field(default_factory=Counter)  # by tier name
    _lock: Lock = field(default_factory=Lock, repr=False)

    def send(self, task_id: str, tier: Tier) -> None:
        """Note a task that is about to be published."""
        with self._lock:
            self._sent[task_id] = tier.name
            self._outstanding[tier.name] += 1

    def refuse(self, task_id: str) -> None:
        """Note that the broker did not accept it after all."""
        with self._lock:
            self._outstanding[self._sent.pop(task_id)] -= 1

    def hear(self, message: dict[str, Any]) -> None:
        """Note a probe's message."""
        report = Report(**{name: message[name] for name in Report.__dataclass_fields__})
        with self._lock:
            if report.id not in self._reports:
                self._outstanding[self._sent.get(report.id, "")] -= 1
            self._reports.setdefault(report.id, report)

    def outstanding(self, tier: Tier | None = None) -> int:
        """Return how many tasks were sent and not yet heard of."""
        with self._lock:
            return self._outstanding[tier.name] if tier else sum(n for name, n in self._outstanding.items() if name)

    def beat_reports(self) -> int:
        """Return how many tasks sent by beat were heard of."""
        with self._lock:
            return sum(report.beat for report in self._reports.values())

    def result(self, tier: Tier) -> TierResult:
        """Return a tier's account so far."""
        with self._lock:
            ids = [id_ for id_, name in self._sent.items() if name == tier.name]
            reports = [self._reports[id_] for id_ in ids if id_ in self._reports]
        done = [report for report in reports if report.state == "SUCCESS"]
        waits = percentiles((report.wait_seconds for report in reports), (50, 95, 99))
        return TierResult(
            sent=len(ids),
            done=len(done),
            failed=len(reports) - len(done),
            wait_seconds=waits,
            run_seconds=percentiles((report.run_seconds for report in done), (50,)),
            promise_seconds=tier.start_within_seconds,
            held=waits["p99"] is not None and waits["p99"] <= tier.start_within_seconds,
        )


def percentiles(values: Iterable[float], wanted: Iterable[int]) -> dict[str, float | None]:
    """Return {"p50": …} of the values, interpolated between neighbours; None where there are no values."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return {f"p{percent}": ordered[0] if ordered else None for percent in wanted}
    cuts = quantiles(ordered, n=100, method="inclusive")
    return {f"p{percent}": cuts[percent - 1] for percent in wanted}
