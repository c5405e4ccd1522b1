"""The page about all rules: `python -m deploytools.inspect.doctor.reference > docs/reference-doctor.md`."""

from deploytools.inspect.doctor.rule import Rule
from deploytools.inspect.doctor.rules import TOPICS

HEAD = """# What the doctor looks for

Made by `python -m deploytools.inspect.doctor.reference`. A file of `deploytools/inspect/doctor/rules` is a section.
An error loses work, runs it twice, stops it, or lets somebody in; a warning does on a bad day; a note is not what its
author believes, or worth a decision. *Needs* is what a rule has to see; without it, it is skipped.
"""


def reference() -> str:
    """Return the page, in Markdown."""
    return "\n".join([HEAD, *(_section(topic) for topic in TOPICS)])


def _section(topic: object) -> str:
    rules = [value for value in vars(topic).values() if isinstance(value, Rule)]
    return "\n".join([f"## {str(topic.__doc__).strip().rstrip('.')}\n", *map(_entry, rules)])


def _entry(rule: Rule) -> str:
    return (
        f"### {rule.id}\n\n{rule.severity.capitalize()}: {rule.title}. {rule.consequence} **Fix:** {rule.fix}\n\n"
        f"Needs: {', '.join(rule.needs)}. Source: {rule.source}.\n"
    )


if __name__ == "__main__":
    print(reference(), end="")
