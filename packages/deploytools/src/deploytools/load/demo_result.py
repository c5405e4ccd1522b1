"""What a demo came to: an account by tier, and a verdict in one line."""

from dataclasses import dataclass
from typing import Any

from deploytools.errors import VerdictError
from deploytools.load.causes import explain
from deploytools.load.result import TierLoad


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """The account of a run: by tier; accepted tasks never heard of; those the broker refused; those beat sent."""

    tiers: tuple[TierLoad, ...]
    lost: int
    refused: int
    sent_by_beat: int

    def raise_if_lost(self) -> None:
        """Raise VerdictError if an accepted task was neither done nor is still in the broker."""
        if self.lost:
            raise VerdictError(f"{self.lost} accepted tasks were lost: see the fleet's log, and report this")

    def problems(self) -> list[str]:
        """Say what was not as promised, each in one line."""
        lost = [f"{self.lost} accepted tasks were lost"] if self.lost else []
        refused = [f"the broker refused {self.refused} tasks"] if self.refused else []
        return [*lost, *refused, *(problem for tier in self.tiers for problem in _problems(tier))]

    @property
    def verdict(self) -> str:
        """Say in one line whether every promise held, or which one was missed, by how much, and the likely cause."""
        return "; ".join(self.problems()) or "every promise held, and no task was lost"

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON object."""
        return {
            "tiers": {tier.name: _as_json(tier) for tier in self.tiers},
            "lost": self.lost,
            "refused": self.refused,
            "beat": {"sent": self.sent_by_beat},
            "passed": not self.problems(),
            "verdict": self.verdict,
        }


def _problems(tier: TierLoad) -> list[str]:
    found, p99 = [], tier.wait.percentiles["p99"]
    if p99 is None:
        found.append(f"no task of {tier.name} was done")
    elif not tier.held:
        found.append(
            f"{tier.name} missed its promise: p99 {p99:.2f} s, {p99 / tier.promise_seconds:.1f} x "
            f"{tier.promise_seconds:g} s; {explain(tier.late, tier.sent)}"
        )
    if tier.failed:
        found.append(f"{tier.failed} of {tier.sent} tasks of {tier.name} failed")
    return found


def _as_json(tier: TierLoad) -> dict[str, Any]:
    return {
        "sent": tier.sent,
        "done": tier.done,
        "failed": tier.failed,
        "wait_seconds": {name: tier.wait.percentiles[name] for name in ("p50", "p95", "p99")},
        "run_seconds": {"p50": tier.run.percentiles["p50"]},
        "first_run": {"count": tier.first_run.count, "p50_seconds": tier.first_run.percentiles["p50"]},
        "promise_seconds": tier.promise_seconds,
        "held": tier.held,
        "late": tier.late,
    }
