import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from deploytools.beat.metrics import HUNG_AFTER_SECONDS
from deploytools.beat.scheduler import LEASE_SECONDS
from deploytools.fleet import Fleet, load_fleet, parse_fleet
from deploytools.metrics import broker, counts
from deploytools.metrics.counts import Counts, Key
from deploytools.render import prometheus
from deploytools.render.prometheus.alert import RUNBOOKS, Severity
from deploytools.render.prometheus.alerts import beat as beat_alerts
from deploytools.render.prometheus.recording import promise_bound
from deploytools.render.prometheus.windows import Windows, duration
from deploytools.render.rendering import Plan, drift
from deploytools.worker import metrics as worker_metrics

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


def metrics() -> set[str]:
    """Return the names of all metrics, as our collectors have them in their source."""
    modules: tuple[ModuleType, ...] = (counts, broker, worker_metrics)
    return {name for module in modules for name in re.findall(r'"(celery_\w+)"', inspect.getsource(module))}


def series_names() -> set[str]:
    """Return the names of their series, and a few that only other kinds of metric have."""
    return {f"{name}{suffix}" for name in metrics() for suffix in ("", "_total", "_bucket", "_count")}


@pytest.fixture
def shop() -> Fleet:
    return parse_fleet(SHOP)


def test_the_committed_files_are_as_the_fleet_file_has_them() -> None:
    plan = Plan(fleet=load_fleet(ROOT / FLEET_PATH), fleet_path=FLEET_PATH)
    assert drift(prometheus.render(plan), ROOT) == ""


def test_a_promise_is_a_bound_of_the_histogram(shop: Fleet) -> None:
    (tier,) = shop
    seen = Counts([tier.start_within_seconds])
    seen.count_start(Key(tier.name, "a"), wait_seconds=1)
    bounds = {sample.labels.get("le") for metric in seen.collect() for sample in metric.samples}
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


def alert_rules(fleet: Fleet) -> list[dict[str, Any]]:
    return rules(fleet, "alerts.rules.yml")


def test_every_alert_says_what_is_wrong_how_much_and_where_to_read_on(shop: Fleet) -> None:
    for rule in alert_rules(shop):
        assert rule["labels"]["severity"] in set(Severity), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert "$value" in rule["annotations"]["description"], rule["alert"]


def test_every_alert_has_a_runbook_that_names_it_and_no_runbook_is_left_over(shop: Fleet) -> None:
    told: dict[str, set[str]] = {}
    for rule in alert_rules(shop):
        told.setdefault(rule["annotations"]["runbook"], set()).add(rule["alert"])
    pages = {page.relative_to(ROOT).as_posix(): page.read_text() for page in (ROOT / RUNBOOKS).glob("*.md")}
    assert told == {path: set(re.findall(r"`(Celery\w+)`", text)) for path, text in pages.items()}


def test_every_alert_is_proved_for_each_tier_that_has_it(shop: Fleet) -> None:
    proved = [test["name"] for test in documents(shop)["alerts.test.yml"]["tests"]]
    wanted = [" ".join([rule["alert"], *filter(None, [rule["labels"].get("tier")])]) for rule in alert_rules(shop)]
    assert proved == ["a healthy fleet", *wanted]


def test_thresholds_follow_the_fleet(shop: Fleet) -> None:
    by_name = {rule["alert"]: rule for rule in alert_rules(shop)}
    assert by_name["CeleryOldestTaskLate"]["expr"] == 'celery_queue_oldest_seconds{tier="counter"} > 21'
    assert "> 7 and" in by_name["CeleryBacklogGrows"]["expr"]
    assert "[70s]" in by_name["CeleryWorkerStuck"]["expr"]  # limit 30, grace 10, two scrapes
    assert 'tier="counter"} < 0.856' in by_name["CeleryPromiseBrokenFast"]["expr"]


def test_thresholds_of_beat_are_those_it_keeps() -> None:
    assert beat_alerts.LEASE_SECONDS == LEASE_SECONDS
    assert beat_alerts.HUNG_AFTER_SECONDS == HUNG_AFTER_SECONDS


def test_containers_are_found_by_the_services_of_their_tiers(shop: Fleet) -> None:
    (job,) = documents(shop)["prometheus.yml"]["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == ["celery-worker-counter", "celery-beat"]
    pattern = job["relabel_configs"][0]["regex"]
    assert [re.fullmatch(pattern, name)[1] for name in job["dns_sd_configs"][0]["names"]] == ["counter", "beat"]  # type: ignore[index]


def test_every_metric_in_a_rule_is_one_we_have(shop: Fleet) -> None:
    used = set(re.findall(r"\b(celery_\w+)", str([rule["expr"] for rule in alert_rules(shop)])))
    used |= set(re.findall(r"\b(celery_\w+)", str(documents(shop)["recording.rules.yml"])))
    recorded = set(re.findall(r":(celery_\w+):", str(documents(shop)["recording.rules.yml"])))
    assert used - recorded - series_names() == set()


def test_the_page_on_monitoring_lists_every_metric_and_every_alert_with_its_severity(shop: Fleet) -> None:
    rows = re.findall(r"^\| (`.*)$", (ROOT / "docs" / "howto-monitor.md").read_text(), flags=re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(celery_\w+)`", row)}
    assert {name.removesuffix("_total") for name in listed} == metrics()
    severities = {name: row.split("|")[1].strip() for row in rows for name in re.findall(r"`(Celery\w+)`", row)}
    assert severities == {rule["alert"]: rule["labels"]["severity"] for rule in alert_rules(shop)}
