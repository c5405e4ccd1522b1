"""A rule: a function from evidence to signs of one mistake, and what to say about it."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploytools.inspect.doctor.evidence import Evidence
from deploytools.inspect.doctor.finding import Finding, Severity

# Where it is, and the value seen there.
Occurrences = Iterator[tuple[str, str]]

REFERENCE = "docs/reference-doctor.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One mistake that can be recognized. `needs` names the parts of the evidence without which it says nothing."""

    id: str
    severity: Severity
    title: str
    consequence: str
    fix: str
    source: str
    needs: tuple[str, ...]
    find: Callable[..., Occurrences]
    optional_evidence: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Where it is explained."""
        return f"{REFERENCE}#{self.id}"

    def missing(self, evidence: Evidence) -> list[str]:
        """Return which of its needs are not there."""
        return [name for name in self.needs if not evidence.has(name)]

    def findings(self, evidence: Evidence) -> list[Finding]:
        """Look at the evidence."""
        parts = {name: getattr(evidence, name) for name in (*self.needs, *self.optional_evidence)}
        return [
            Finding(
                rule=self.id,
                severity=self.severity,
                title=self.title,
                where=where,
                proof=proof,
                consequence=self.consequence,
                fix=self.fix,
                link=self.link,
            )
            for where, proof in self.find(**parts)
        ]


def rule(
    severity: Severity, *, consequence: str, fix: str, source: str
) -> Callable[[Callable[..., Occurrences]], Rule]:
    """Make a rule of a function.

    Its name becomes the rule's id, its docstring the title. Its parameters are the parts of the evidence it reads:
    one without a default has to be there.
    """

    def make(find: Callable[..., Occurrences]) -> Rule:
        parameters = inspect.signature(find).parameters.values()
        return Rule(
            id=find.__name__.replace("_", "-"),
            severity=severity,
            title=(find.__doc__ or "").splitlines()[0].rstrip("."),
            consequence=consequence,
            fix=fix,
            source=source,
            needs=tuple(each.name for each in parameters if each.default is each.empty),
            optional_evidence=tuple(each.name for each in parameters if each.default is not each.empty),
            find=find,
        )

    return make
