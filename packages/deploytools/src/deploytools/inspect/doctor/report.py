"""An examination as a screenful."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from deploytools.inspect.doctor.examine import Examination
from deploytools.inspect.doctor.finding import Finding, Severity

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def render(examination: Examination) -> RenderableType:
    """Return the findings, worst first, a rule a block; then what was ignored and what was not looked at."""
    return Group(*_blocks(examination))


def _blocks(examination: Examination) -> Iterator[RenderableType]:
    for _, found in groupby(examination.findings, key=lambda finding: finding.rule):
        yield from _block(list(found))
    counts = [f"{level}s: {sum(each.severity == level for each in examination.findings)}" for level in Severity]
    looked = len(examination.rules) - sum(map(len, examination.skipped.values()))
    yield Text(f"{', '.join(counts)}; {looked} of {len(examination.rules)} rules looked", style="bold")
    for finding, reason in examination.ignored:
        yield Text(f"ignored: {finding.rule} at {finding.where}: {reason}", style="dim")
    for need, rules in examination.skipped.items():
        yield Text(f"skipped for want of {need}: {', '.join(rules)}", style="dim")


def _block(found: list[Finding]) -> Iterator[RenderableType]:
    first = found[0]
    yield Text.assemble((first.severity, COLOURS[first.severity]), "  ", (first.rule, "bold"), f"  {first.title}")
    for finding in found:
        yield Padding(Text(f"{finding.where}: {finding.proof}"), (0, 0, 0, 4))
    yield Padding(Text(f"→ {first.consequence}"), (0, 0, 0, 4))
    yield Padding(Text(f"✓ {first.fix}", style="green"), (0, 0, 0, 4))
    yield Padding(Text(first.link, style="dim"), (0, 0, 1, 4))
