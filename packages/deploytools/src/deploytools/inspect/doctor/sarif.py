"""An examination as SARIF 2.1.0, which code hosts and editors show."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploytools.errors import SettingError
from deploytools.inspect.doctor.examine import Examination
from deploytools.inspect.doctor.finding import Finding
from deploytools.inspect.doctor.rule import Rule


def write_sarif(examination: Examination, path: Path) -> None:
    """Write the file; raise SettingError where that is not possible."""
    try:
        path.write_text(json.dumps(as_sarif(examination), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--sarif {path}: {error.strerror}: name a file that can be written") from None


def as_sarif(examination: Examination) -> dict[str, Any]:
    """Return the log: one run, all rules that were chosen, a result a finding, ignored ones with their reason."""
    driver = {
        "name": "deploytools doctor",
        "version": version("deploytools"),
        "rules": [_rule(each) for each in examination.rules],
    }
    results = [_result(each) for each in examination.findings]
    ignored = [
        _result(each) | {"suppressions": [{"kind": "external", "justification": reason}]}
        for each, reason in examination.ignored
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [*results, *ignored]}],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.consequence},
        "help": {"text": f"{rule.fix} See {rule.link}"},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(finding: Finding) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "level": finding.severity,
        "message": {"text": f"{finding.proof}. {finding.consequence} {finding.fix}"},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": finding.where}]}],
    }
