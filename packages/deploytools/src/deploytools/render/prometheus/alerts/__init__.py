"""All alerts: a module a subject, each with `alerts(fleet, windows)`."""

from collections.abc import Iterator

from deploytools.fleet import Fleet
from deploytools.render.prometheus.alert import Alert
from deploytools.render.prometheus.alerts import promises
from deploytools.render.prometheus.windows import Windows

SUBJECTS = (promises,)


def all_alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts of all subjects."""
    for subject in SUBJECTS:
        yield from subject.alerts(fleet, windows)
