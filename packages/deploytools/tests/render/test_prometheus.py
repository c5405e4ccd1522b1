from pathlib import Path
from typing import Any

import pytest
import yaml

from deploytools.fleet import Fleet, load_fleet, parse_fleet
from deploytools.metrics.counts import Counts, Key
from deploytools.render import prometheus
from deploytools.render.prometheus.recording import promise_bound
from deploytools.render.prometheus.windows import Windows, duration
from deploytools.render.rendering import Plan, drift

ROOT = Path(__file__).parents[4]
FLEET_PATH = Path("packages/app/src/app/fleet.toml")
SHOP = """
[fleet]
app = "shop:app"
default_tier = "counter"

[tiers.counter]
queue = "till"
tasks = ["shop.*"]
start_within_seconds = 7
concurrency = 2
autoscale = { min = 1, max = 4 }
time_limit_seconds = 30
"""


def documents(fleet: Fleet, windows: Windows = prometheus.PRODUCTION) -> dict[str, Any]:
    plan = Plan(fleet=fleet, fleet_path=Path("fleet.toml"))
    return {each.path.name: yaml.safe_load(each.text) for each in prometheus.render(plan, windows)}


def rules(fleet: Fleet, file: str) -> list[dict[str, Any]]:
    return [rule for group in documents(fleet)[file]["groups"] for rule in group["rules"]]


@pytest.fixture
def shop() -> Fleet:
    return parse_fleet(SHOP)


def test_the_committed_files_are_as_the_fleet_file_has_them() -> None:
    plan = Plan(fleet=load_fleet(ROOT / FLEET_PATH), fleet_path=FLEET_PATH)
    assert drift(prometheus.render(plan), ROOT) == ""


def test_a_promise_is_a_bound_of_the_histogram(shop: Fleet) -> None:
    (tier,) = shop
    counts = Counts([tier.start_within_seconds])
    counts.count_start(Key(tier.name, "a"), wait_seconds=1, is_first=True, publisher="web")
    bounds = {sample.labels.get("le") for metric in counts.collect() for sample in metric.samples}
    assert promise_bound(tier) in bounds
    kept = [rule for rule in rules(shop, "recording.rules.yml") if "kept" in rule["record"]]
    assert {rule["labels"]["tier"] for rule in kept} == {"counter"}
    assert all('le="7.0"' in rule["expr"] for rule in kept)


def test_windows_shrink_and_names_stay(shop: Fleet) -> None:
    long, short = (documents(shop, Windows(shrink=shrink))["recording.rules.yml"] for shrink in (1, 60))
    names = [[rule["record"] for rule in each["groups"][0]["rules"]] for each in (long, short)]
    assert names[0] == names[1]
    assert "[5m]" in str(long)
    assert "[5m]" not in str(short)
    assert [duration(seconds) for seconds in (5, 300, 7200, 86400, 90)] == ["5s", "5m", "2h", "1d", "90s"]
