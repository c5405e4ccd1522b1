import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploytools.fleet import load_fleet
from deploytools.render import grafana, prometheus
from deploytools.render.rendering import Plan, drift

ROOT = Path(__file__).parents[4]
FLEET_PATH = Path("packages/app/src/app/fleet.toml")


@pytest.fixture
def plan() -> Plan:
    return Plan(fleet=load_fleet(ROOT / FLEET_PATH), fleet_path=FLEET_PATH)


@pytest.fixture
def dashboard(plan: Plan) -> dict[str, Any]:
    (rendering,) = grafana.render(plan)
    data: dict[str, Any] = json.loads(rendering.text)
    return data


def missing(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Return the paths of what is not in `theirs` as it is in `ours`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [path for key in ours for path in missing(ours[key], theirs.get(key), f"{where}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            path for i, pair in enumerate(zip(ours, theirs, strict=True)) for path in missing(*pair, f"{where}.{i}")
        ]
    return [] if ours == theirs else [where]


def test_the_committed_dashboard_is_as_the_fleet_file_has_it(plan: Plan) -> None:
    assert drift(grafana.render(plan), ROOT) == ""


def test_grafanas_schema_knows_every_key(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert missing(dashboard, known) == []
    dashboard["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert missing(dashboard, known) == [".panels.1.fieldConfig.defaults.units"]


def test_every_tier_can_be_chosen_and_has_a_row(dashboard: dict[str, Any], plan: Plan) -> None:
    _, tier = dashboard["templating"]["list"]
    assert [option["value"] for option in tier["options"]] == [tier.name for tier in plan.fleet]
    assert [panel["repeat"] for panel in dashboard["panels"] if "repeat" in panel] == ["tier"]


def test_panels_do_not_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < grafana.GRID_WIDTH


def test_every_rule_that_is_drawn_is_recorded(dashboard: dict[str, Any], plan: Plan) -> None:
    drawn = set(re.findall(r"tier:\w+:\w+", json.dumps(dashboard)))
    assert drawn
    assert drawn <= set(re.findall(r"tier:\w+:\w+", "".join(each.text for each in prometheus.render(plan))))
