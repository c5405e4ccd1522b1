"""The page that findings link to."""

from pathlib import Path

from deploytools.inspect.doctor.reference import reference
from deploytools.inspect.doctor.rules import RULES

PAGE = Path(__file__).parents[5] / "docs" / "reference-doctor.md"


def test_the_page_is_as_the_rules_have_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_link_of_a_rule_has_a_heading() -> None:
    headings = {line.removeprefix("### ") for line in PAGE.read_text(encoding="utf-8").splitlines()}

    assert {rule.link.partition("#")[2] for rule in RULES} <= headings
