"""An examination as a screenful."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from deploytools.inspect.doctor.examine import Examination
from deploytools.inspect.doctor.finding import Finding, Severity
from deploytools.inspect.layout import wrap_words

Line = tuple[str, str, int]  # text, style, indent

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def print_examination(examination: Examination, console: Console | None = None) -> None:
    """Print the findings, worst first, a rule a block; then what was ignored and what was not looked at."""
    console = console or Console()
    for text, style, indent in _lines(examination):
        wrapped = wrap_words(text, console.width, indent=indent)
        console.print(Text(wrapped, style=style), soft_wrap=True)


def _lines(examination: Examination) -> Iterator[Line]:
    for _, found in groupby(examination.findings, key=lambda finding: finding.rule):
        yield from _block(list(found))
    counts = [f"{level}s: {sum(each.severity == level for each in examination.findings)}" for level in Severity]
    looked = len(examination.rules) - sum(map(len, examination.skipped.values()))
    yield f"{', '.join(counts)}; {looked} of {len(examination.rules)} rules looked", "bold", 0
    for finding, reason in examination.ignored:
        yield f"ignored: {finding.rule} at {finding.where}: {reason}", "dim", 0
    for need, rules in examination.skipped.items():
        yield f"skipped for want of {need}: {', '.join(rules)}", "dim", 0


def _block(found: list[Finding]) -> Iterator[Line]:
    first = found[0]
    yield f"{first.severity}  {first.rule}  {first.title}", COLOURS[first.severity], 0
    for finding in found:
        yield f"{finding.where}: {finding.proof}", "", 4
    yield f"→ {first.consequence}", "", 4
    yield f"✓ {first.fix}", "green", 4
    yield first.link, "dim", 4
    yield "", "", 0
