"""All alerts: a module a subject, each with `alerts(fleet, windows)`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploytools.fleet import Fleet
from deploytools.render.prometheus.alert import Alert
from deploytools.render.prometheus.alerts import beat, broker, promises, suspicions, tasks, workers
from deploytools.render.prometheus.windows import Windows

SUBJECTS = {
    "promises": promises.alerts,
    "workers": workers.alerts,
    "tasks": tasks.alerts,
    "beat": beat.alerts,
    "broker": broker.alerts,
    "suspicions": suspicions.alerts,
}
# Subjects that look back for so long that they are computed this seldom, in seconds.
SELDOM = {"suspicions": suspicions.EVERY_SECONDS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The alerts of a subject, computed together; `every`: not as often as others."""

    subject: str
    alerts: tuple[Alert, ...]
    every: str | None

    def table(self) -> dict[str, Any]:
        """Return the group as its file has it."""
        interval = {"interval": self.every} if self.every else {}
        return {"name": f"celery {self.subject}", **interval, "rules": [alert.rule() for alert in self.alerts]}


def alert_groups(fleet: Fleet, windows: Windows) -> Iterator[Group]:
    """Return the alerts of all subjects."""
    for subject, alerts in SUBJECTS.items():
        seconds = SELDOM.get(subject)
        yield Group(
            subject=subject,
            alerts=tuple(alerts(fleet, windows)),
            every=windows.of(seconds) if seconds else None,
        )
