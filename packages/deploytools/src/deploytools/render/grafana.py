"""Grafana: one dashboard; the fleet in its first row, then a row a tier, each wait beside its promise."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploytools.fleet import Fleet
from deploytools.render.prometheus.alerts.promises import BUDGET, BURNS
from deploytools.render.prometheus.recording import PROMISE_RECORD, kept_record, rate_record, wait_record
from deploytools.render.rendering import Plan, Rendering

PATH = Path("deploy/grafana/fleet.json")
# Grafana's grid is 24 wide: four panels a row.
PANEL_WIDTH, PANEL_HEIGHT, GRID_WIDTH = 6, 7, 24
SOURCE = {"type": "prometheus", "uid": "${source}"}
TIER = '{tier="$tier"}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A panel of lines. `lines`: legend → expression; `unit`: Grafana's id; `limits`: values drawn in red."""

    title: str
    lines: Mapping[str, str]
    unit: str = "short"
    limits: tuple[float, ...] = ()


FLEET_CHARTS = (
    Chart(title="Alerts", lines={"{{alertname}} {{tier}}": 'sum by (alertname, tier) (ALERTS{alertstate="firing"})'}),
    Chart(title="Dead letters", lines={"{{tier}}": "max by (tier) (celery_dead_letters)"}),
    Chart(title="Taken, not acknowledged", lines={"messages": "max(celery_queue_unacked)"}),
    Chart(
        title="Broker memory",
        unit="bytes",
        lines={"used": "max(celery_broker_memory_bytes)", "limit": "max(celery_broker_memory_max_bytes) > 0"},
    ),
    Chart(title="Beats that lead", lines={"leaders": "sum(celery_beat_leader)"}, limits=(2,)),
    Chart(title="Ticks", unit="ops", lines={"{{entry}}": "sum by (entry) (rate(celery_beat_ticks_total[5m]))"}),
    Chart(
        title="Rejected messages",
        unit="ops",
        lines={"{{reason}}": "sum by (reason) (rate(celery_messages_rejected_total[5m]))"},
    ),
    Chart(
        title="Publishers",
        unit="ops",
        lines={"{{publisher}}": "topk(10, sum by (publisher) (rate(celery_task_publisher_submissions_total[5m])))"},
    ),
)
TIER_CHARTS = (
    Chart(
        title="Wait",
        unit="s",
        lines={
            "p50": f"{wait_record('p50', '5m')}{TIER}",
            "p99": f"{wait_record('p99', '5m')}{TIER}",
            "promise": f"{PROMISE_RECORD}{TIER}",
        },
    ),
    Chart(
        title="How fast the budget burns (1: as it may)",
        lines={span: f"(1 - {kept_record(span)}{TIER}) / {BUDGET}" for span in ("5m", "1h", "6h")},
        limits=tuple(sorted(burn.factor for burn in BURNS)),
    ),
    Chart(title="Depth", lines={"waiting": f"max(celery_queue_depth{TIER})"}),
    Chart(
        title="The oldest",
        unit="s",
        lines={"oldest": f"max(celery_queue_oldest_seconds{TIER})", "promise": f"{PROMISE_RECORD}{TIER}"},
    ),
    Chart(
        title="In and out",
        unit="ops",
        lines={name: f"{rate_record(name, '5m')}{TIER}" for name in ("submissions", "starts", "completions")},
    ),
    Chart(
        title="Processes",
        lines={
            "{{state}}": f"sum by (state) (celery_worker_processes{TIER})",
            "at most": f"sum(celery_worker_processes_max{TIER})",
        },
    ),
    Chart(
        title="Failures and retries",
        unit="ops",
        lines={name: f"{rate_record(name, '5m')}{TIER}" for name in ("failures", "retries")},
    ),
    Chart(
        title="Duration, p99",
        unit="s",
        lines={
            "{{task}}": "histogram_quantile(0.99, sum by (task, le) "
            f"(rate(celery_task_duration_seconds_bucket{TIER}[5m])))"
        },
    ),
)


def render(plan: Plan) -> Iterator[Rendering]:
    """Return the dashboard. Its source of data is a variable: any Prometheus that has the rendered rules."""
    dashboard = {
        "uid": "celery-fleet",
        "title": "Celery fleet",
        "description": plan.origin("render.grafana"),
        "tags": ["celery"],
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 36,
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables(plan.fleet)},
        "panels": list(_panels()),
    }
    yield Rendering(path=PATH, text=json.dumps(dashboard, indent=2) + "\n")


def _variables(fleet: Fleet) -> list[dict[str, Any]]:
    names = [tier.name for tier in fleet]
    every = {"text": ["All"], "value": ["$__all"], "selected": True}
    return [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "tier",
            "type": "custom",
            "label": "Tier",
            "query": ",".join(names),
            "multi": True,
            "includeAll": True,
            "current": every,
            "options": [{"text": name, "value": name, "selected": False} for name in names],
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    """Yield rows and charts, from top to bottom. Grafana repeats what follows a row that repeats, up to the next."""
    top, id_ = 0, 1
    for row, charts in (({"title": "Fleet"}, FLEET_CHARTS), ({"title": "Tier $tier", "repeat": "tier"}, TIER_CHARTS)):
        place = {"x": 0, "y": top, "w": GRID_WIDTH, "h": 1}
        yield {"id": id_, "type": "row", "collapsed": False, "gridPos": place, "panels": [], **row}
        top, id_ = top + 1, id_ + 1
        for index, chart in enumerate(charts):
            below, column = divmod(index * PANEL_WIDTH, GRID_WIDTH)
            place = {"x": column, "y": top + below * PANEL_HEIGHT, "w": PANEL_WIDTH, "h": PANEL_HEIGHT}
            yield {"id": id_, **_panel(chart), "gridPos": place}
            id_ += 1
        top += -(-len(charts) * PANEL_WIDTH // GRID_WIDTH) * PANEL_HEIGHT


def _panel(chart: Chart) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, *({"color": "red", "value": limit} for limit in chart.limits)]
    custom = {"thresholdsStyle": {"mode": "line"}} if chart.limits else {}
    return {
        "type": "timeseries",
        "title": chart.title,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend, "range": True}
            for index, (legend, expr) in enumerate(chart.lines.items())
        ],
        "fieldConfig": {
            "defaults": {
                "unit": chart.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
    }
