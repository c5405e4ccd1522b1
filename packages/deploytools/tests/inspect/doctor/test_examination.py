"""What comes of findings: suppressions, verdicts, SARIF."""

from pathlib import Path

import pytest

from deploytools.errors import SettingError, VerdictError
from deploytools.inspect.doctor.argv import parse_command
from deploytools.inspect.doctor.evidence import Evidence
from deploytools.inspect.doctor.examine import examine
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.sarif import as_sarif
from deploytools.inspect.doctor.suppressions import check_suppressions, read_suppressions

EVIDENCE = Evidence(commands=(parse_command("celery -A shop worker --without-heartbeat -O fair", "command 1"),))
ALL = {"heartbeat-off", "fair-redundant", "children-never-replaced"}


def test_a_suppressed_finding_is_kept_apart_with_its_reason() -> None:
    examination = examine(EVIDENCE, ignore={"heartbeat-off": "nobody watches"})

    assert {finding.rule for finding in examination.findings} == ALL - {"heartbeat-off"}
    assert [(finding.rule, reason) for finding, reason in examination.ignored] == [("heartbeat-off", "nobody watches")]


@pytest.mark.parametrize(
    ("ignore", "words"),
    [
        ({"hartbeat-off": "x"}, "did you mean heartbeat-off"),
        ({"heartbeat-off": " "}, "has no reason"),
        (["heartbeat-off"], "expected a table of reasons"),
    ],
)
def test_a_suppression_needs_a_rule_and_a_reason(ignore: object, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        check_suppressions(ignore)


def test_suppressions_are_read_from_pyproject(tmp_path: Path) -> None:
    assert read_suppressions(tmp_path) == {}

    (tmp_path / "pyproject.toml").write_text('[tool.deploytools.doctor]\nignore = { "heartbeat-off" = "why" }\n')

    assert read_suppressions(tmp_path) == {"heartbeat-off": "why"}


@pytest.mark.parametrize(("fail_on", "fails"), [(Severity.ERROR, False), (Severity.WARNING, True)])
def test_the_bar_decides_what_fails(fail_on: Severity, fails: bool) -> None:
    examination = examine(EVIDENCE)

    if fails:
        with pytest.raises(VerdictError, match="findings of severity warning or worse: 2"):
            examination.raise_if_bad(fail_on)
    else:
        examination.raise_if_bad(fail_on)


def test_sarif_has_a_rule_for_each_result_and_reasons_of_what_is_ignored() -> None:
    log = as_sarif(examine(EVIDENCE, ignore={"heartbeat-off": "nobody watches"}))

    [run] = log["runs"]
    assert {result["ruleId"] for result in run["results"]} == ALL
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} >= ALL
    [reason] = [each["justification"] for result in run["results"] for each in result.get("suppressions", ())]
    assert reason == "nobody watches"
