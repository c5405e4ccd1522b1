"""What a rule finds."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is. The words are SARIF's levels."""

    ERROR = "error"  # work is lost, runs twice or stands still, or somebody else gets in
    WARNING = "warning"  # it will, on a bad day
    NOTE = "note"  # not what its author believes, or worth a decision

    @property
    def rank(self) -> int:
        """Return 0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One mistake at one place. `proof` is the value that was seen, without passwords; `link` explains the rule."""

    rule: str
    severity: Severity
    title: str
    where: str
    proof: str
    consequence: str
    fix: str
    link: str
