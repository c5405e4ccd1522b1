"""Prometheus: what is scraped, what is computed from it, what is alerted on, and the proof of each alert."""

from collections.abc import Iterator
from pathlib import Path

from deploytools.render.document import to_comment, to_yaml
from deploytools.render.prometheus.alerts import alert_groups
from deploytools.render.prometheus.proofs import proof_file
from deploytools.render.prometheus.recording import recording_rules
from deploytools.render.prometheus.scraping import ALERT_FILE, RECORDING_FILE, scrape_file
from deploytools.render.prometheus.windows import Windows
from deploytools.render.rendering import Plan, Rendering

FOLDER = Path("deploy/prometheus")
PROOF_FILE = "alerts.test.yml"
PRODUCTION = Windows()


def render(plan: Plan, windows: Windows = PRODUCTION) -> Iterator[Rendering]:
    """Return Prometheus's configuration, its rules, and `promtool test rules`'s cases for them."""
    groups = list(alert_groups(plan.fleet, windows))
    recording = {"name": "celery waits and rates", "rules": recording_rules(plan.fleet, windows)}
    alerting = [group.table() for group in groups]
    documents = {
        "prometheus.yml": scrape_file(plan.fleet, windows),
        RECORDING_FILE: {"groups": [recording]},
        ALERT_FILE: {"groups": alerting},
        PROOF_FILE: proof_file(
            plan.fleet,
            [alert for group in groups for alert in group.alerts],
            order=[group["name"] for group in (recording, *alerting)],
        ),
    }
    header = to_comment(plan.origin("render.prometheus"))
    for name, document in documents.items():
        yield Rendering(path=FOLDER / name, text=header + to_yaml(document))
