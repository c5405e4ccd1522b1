"""An alert, and its proof: the series that must make it fire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploytools.render.prometheus.windows import MINUTE

RUNBOOKS = Path("docs/runbooks")
# How often proofs compute all rules: this takes milliseconds, and they cover days.
POLL_SECONDS = 15 * MINUTE


class Severity(StrEnum):
    """Who has to look, and when."""

    CRITICAL = "critical"  # somebody, now
    WARNING = "warning"  # somebody, today
    INFO = "info"  # whoever investigates something else


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """Series in promtool's notation, a value a minute; when the alert must fire on them; labels that it gets from them.

    `quiet_at_seconds`: when it must not fire yet. Both are multiples of POLL_SECONDS.
    """

    series: Mapping[str, str]
    at_seconds: int = 2 * POLL_SECONDS
    quiet_at_seconds: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A rule of Prometheus. `hold`: how long the expression must hold; `tier`: of one tier alone."""

    name: str
    expr: str
    severity: Severity
    summary: str
    description: str
    runbook: str
    proof: Proof
    hold: str | None = None
    tier: str | None = None

    def rule(self) -> dict[str, Any]:
        """Return the rule as its file has it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.hold} if self.hold else {}),
            "labels": self.labels,
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook": (RUNBOOKS / f"{self.runbook}.md").as_posix(),
            },
        }

    @property
    def labels(self) -> dict[str, str]:
        """The labels it always has."""
        return {"severity": self.severity.value, **({"tier": self.tier} if self.tier else {})}
