from pathlib import Path

from deploytools.inspect.doctor.reference import reference
from deploytools.inspect.doctor.rules import RULES

PAGE = Path(__file__).parents[4] / "docs/reference-doctor.md"


def test_the_page_is_as_the_rules_are_and_every_link_leads_to_a_heading() -> None:
    text = PAGE.read_text()

    assert text == reference()
    assert all(f"\n### {rule.link.partition('#')[2]}\n" in text for rule in RULES)
