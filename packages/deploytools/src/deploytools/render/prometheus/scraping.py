"""What Prometheus scrapes: processes of this project on this host, and containers by their service's name."""

from typing import Any

from deploytools.fleet import Fleet
from deploytools.render.container import METRICS_PORT
from deploytools.render.prometheus.windows import SCRAPE_SECONDS, Windows

JOB = "celery"
RECORDING_FILE, ALERT_FILE = "recording.rules.yml", "alerts.rules.yml"
# Where processes say which port they have (deploytools.metrics.endpoint), seen from the configuration's folder.
TARGETS = ".deploytools/metrics"  # below the project, where `deploytools.metrics.endpoint` writes them
TARGET_FILES = f"../../{TARGETS}/*.json"


def scrape_file(fleet: Fleet, windows: Windows) -> dict[str, Any]:
    """Return prometheus.yml.

    A process's own `tier` stands (`honor_labels`): the leading beat tells of all tiers' queues. Of a container the
    tier is in its service's name.
    """
    interval = windows.of(SCRAPE_SECONDS)
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [RECORDING_FILE, ALERT_FILE],
        "scrape_configs": [
            {
                "job_name": JOB,
                "honor_labels": True,
                "file_sd_configs": [{"files": [TARGET_FILES], "refresh_interval": interval}],
                "dns_sd_configs": [
                    {
                        "names": [*(f"celery-worker-{tier.name}" for tier in fleet), "celery-beat"],
                        "type": "A",
                        "port": METRICS_PORT,
                    }
                ],
                "relabel_configs": [
                    {
                        "source_labels": ["__meta_dns_name"],
                        "regex": "celery-(?:worker-)?(.+)",
                        "target_label": "tier",
                        "replacement": "$1",
                    },
                    {
                        "source_labels": ["__meta_dns_name", "__address__"],
                        "regex": "(.+);(.+)",
                        "target_label": "worker",
                        "replacement": "$1@$2",
                    },
                ],
            }
        ],
    }
