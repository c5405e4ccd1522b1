"""Run rules over evidence: findings, what was skipped and why, and what is to be ignored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from deploytools.errors import SettingError, VerdictError
from deploytools.inspect.doctor.evidence import PARTS, Evidence
from deploytools.inspect.doctor.finding import Finding, Severity
from deploytools.inspect.doctor.rule import Rule
from deploytools.inspect.doctor.rules import RULES


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """What came of it. `ignored` holds findings with the reason why; `skipped` maps what was missing to rules."""

    findings: tuple[Finding, ...]
    ignored: tuple[tuple[Finding, str], ...]
    skipped: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "ignored": [{**asdict(finding), "reason": reason} for finding, reason in self.ignored],
            "skipped": {need: list(rules) for need, rules in self.skipped.items()},
            "rules": len(self.rules),
        }

    def raise_if_bad(self, fail_on: Severity) -> None:
        """Raise VerdictError where a finding is as bad as that."""
        bad = [finding for finding in self.findings if finding.severity.rank <= fail_on.rank]
        if bad:
            raise VerdictError(
                f"doctor: findings of severity {fail_on} or worse: {len(bad)}: correct them, or give a reason in "
                "[tool.deploytools.doctor] ignore of pyproject.toml"
            )


def examine(evidence: Evidence, *, only: Iterable[str] = (), ignore: Mapping[str, str] | None = None) -> Examination:
    """Run all rules, or those that are named; raise SettingError for a name there is none of."""
    chosen = [check_rule(name, "--only") for name in only] or list(RULES)
    reasons = ignore or {}
    found = [finding for rule in chosen if not rule.missing(evidence) for finding in rule.findings(evidence)]
    found.sort(key=lambda finding: finding.severity.rank)
    return Examination(
        findings=tuple(finding for finding in found if finding.rule not in reasons),
        ignored=tuple((finding, reasons[finding.rule]) for finding in found if finding.rule in reasons),
        skipped=_skipped(chosen, evidence),
        rules=tuple(chosen),
    )


def check_rule(name: str, where: str) -> Rule:
    """Return the rule of that id; raise SettingError with the nearest one where there is none."""
    by_id = {rule.id: rule for rule in RULES}
    if name not in by_id:
        near = get_close_matches(name, by_id, n=1)
        raise SettingError(
            f"{where} {name}: no such rule: "
            + (f"did you mean {near[0]}?" if near else "docs/reference-doctor.md lists them")
        )
    return by_id[name]


def _skipped(rules: Iterable[Rule], evidence: Evidence) -> dict[str, tuple[str, ...]]:
    skipped: dict[str, list[str]] = {}
    for rule in rules:
        if missing := rule.missing(evidence):
            skipped.setdefault(PARTS[missing[0]], []).append(rule.id)
    return {need: tuple(names) for need, names in skipped.items()}
