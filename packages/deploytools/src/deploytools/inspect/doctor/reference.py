"""Write the page that explains each rule: `python -m deploytools.inspect.doctor.reference`."""

from collections.abc import Iterator

from deploytools.inspect.doctor.evidence import PARTS
from deploytools.inspect.doctor.rule import Rule
from deploytools.inspect.doctor.rules import RULES, TOPICS


def reference() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What doctor looks for"
    yield ""
    yield f"{len(RULES)} rules, written by `python -m deploytools.inspect.doctor.reference`. They were checked on"
    yield "Celery and kombu 5.7; *run* means that it was made to happen there. Use: [doctor](howto-doctor.md)."
    for topic in TOPICS:
        yield from ("", f"## {(topic.__doc__ or '').rstrip('.')}")
        for rule in vars(topic).values():
            if isinstance(rule, Rule):
                yield from _entry(rule)


def _entry(rule: Rule) -> Iterator[str]:
    yield from ("", f"### {rule.id}", "")
    yield f"**{rule.severity}.** {rule.title}. {rule.consequence}"
    yield from ("", f"*Fix:* {rule.fix}")
    yield from ("", f"*Needs* {' and '.join(PARTS[need] for need in rule.needs)}. *Source:* {rule.source}.")


if __name__ == "__main__":
    print(reference(), end="")
