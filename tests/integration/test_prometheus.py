"""A real Prometheus reads the rendered files: promtool proves the alerts, a running fleet makes them fire or not."""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from deploytools.render import grafana, prometheus
from deploytools.render.prometheus.windows import Windows
from deploytools.render.rendering import Plan, write
from deploytools.testing.brokers import Broker
from deploytools.testing.containers import SESSION_LABEL, engine_is_there
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import SESSION
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until

IMAGE = "prom/prometheus:v2.53.3"
FILES = Path(__file__).parents[2] / prometheus.FOLDER
# An hour is three minutes; scrapes are a second apart, and three in a row must fail before a process counts as silent.
WINDOWS = Windows(shrink=20)
# A promise that a machine which is busy with other tests keeps.
PROMISE_SECONDS = 4


@pytest.fixture(autouse=True)
def engine() -> None:
    if not engine_is_there():
        assert not os.environ.get("CI"), "no container engine answers: start Docker"
        pytest.skip("no container engine answers")


@pytest.fixture
def patient_fleet(shop: ProjectUnderTest, broker: Broker) -> Iterator[FleetUnderTest]:
    file = shop.root / "fleet.toml"
    file.write_text(file.read_text().replace("start_within_seconds = 0.5", f"start_within_seconds = {PROMISE_SECONDS}"))
    with FleetUnderTest(project=shop, broker=broker) as fleet:
        yield fleet


class Prometheus:
    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **query: str) -> Any:
        parameters = urllib.parse.urlencode(query)
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}?{parameters}", timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expr: str) -> float:
        """Return the one value of an expression, 0 where it has none."""
        try:
            found = self.get("query", query=expr)["result"]
        except urllib.error.URLError:
            return 0  # it has just been started
        return float(found[0]["value"][1]) if found else 0

    def health(self) -> set[str]:
        """Return what is said of rules: `ok`, `unknown` (not computed yet), or `err`."""
        return {rule["health"] for group in self.get("rules")["groups"] for rule in group["rules"]}

    def fired(self, window: str) -> set[tuple[str, str]]:
        """Return (alert, tier) of all that fired in a window until now."""
        found = self.get("query", query=f'last_over_time(ALERTS{{alertstate="firing"}}[{window}])')["result"]
        return {(each["metric"]["alertname"], each["metric"].get("tier", "")) for each in found}


@contextmanager
def running_prometheus(config: Path, *, mount: Path, port: int, session: str) -> Iterator[Prometheus]:
    """Run Prometheus on this host's network: workers listen on its loopback interface alone."""
    container = docker.from_env().containers.run(
        IMAGE,
        [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=/data"],
        network_mode="host",
        volumes={str(mount): {"bind": str(mount), "mode": "ro"}},
        tmpfs={"/data": "mode=1777"},
        user=str(os.getuid()),
        labels={SESSION_LABEL: session},
        detach=True,
    )
    try:
        yield Prometheus(port)
    finally:
        container.remove(force=True, v=True)


def promtool(*argv: str) -> str:
    output: bytes = docker.from_env().containers.run(
        IMAGE,
        list(argv),
        entrypoint="promtool",
        working_dir="/rules",
        volumes={str(FILES): {"bind": "/rules", "mode": "ro"}},
        remove=True,
        stderr=True,
    )
    return output.decode()


def test_promtool_finds_nothing_wrong_and_every_alert_fires_in_its_case() -> None:
    assert "is valid prometheus config file" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


@pytest.mark.only_on("embedded")
def test_a_healthy_fleet_alerts_nobody_and_a_flooded_tier_does(
    patient_fleet: FleetUnderTest, free_port: int, pytestconfig: pytest.Config
) -> None:
    fleet = patient_fleet
    root = fleet.project.root
    write(prometheus.render(Plan(fleet=fleet.fleet, fleet_path=Path("fleet.toml")), WINDOWS), root)
    (root / ".deploytools").symlink_to(fleet.project.state)
    fleet.start_beat().wait_for_log("beat: leads")
    fleet.start_all()
    fleet.wait_until_over([*fleet.occupy("counter", 4, 0.01), *fleet.occupy("store_room", 4, 0.01)])

    with running_prometheus(
        root / prometheus.FOLDER / "prometheus.yml",
        mount=root.parent,
        port=free_port,
        session=pytestconfig.stash[SESSION],
    ) as server:
        # Before the first scrape, which is 5 s after its start (it gathers targets so long), nobody seems to be there.
        wait_until(lambda: server.value("min(count_over_time(up[1m]))") >= 10, "all to be scraped ten times")
        assert server.value("count(up)") == 3
        assert server.fired("8s") == set()
        wait_until(lambda: server.health() == {"ok"}, "each rule to be computed")  # some are each 15 s
        for expr in drawn(fleet):
            server.get("query", query=expr)  # a mistake is an HTTP error
        assert used_metrics(root) - set(server.get("label/__name__/values")) <= NOT_YET

        fleet.occupy("counter", 80, 1)
        burning = ("CeleryPromiseBrokenFast", "counter")
        wait_until(lambda: burning in server.fired("5s"), "the flood to be told", deadline_seconds=40)
        alert = next(one for one in server.get("alerts")["alerts"] if one["labels"]["alertname"] == burning[0])
        assert re.search(r"Only [\d.]+% of the tasks .* within the 4 s", alert["annotations"]["description"])
        assert not {name for name, tier in server.fired("15s") if tier == "store_room"}


# Nothing failed, was retried or rejected in this test: these have no series yet.
NOT_YET = {"celery_task_failures_total", "celery_task_retries_total", "celery_messages_rejected_total"}


def drawn(fleet: FleetUnderTest) -> list[str]:
    """Return the expressions of the dashboard."""
    (rendered,) = grafana.render(Plan(fleet=fleet.fleet, fleet_path=Path("fleet.toml")))
    targets = [target for panel in json.loads(rendered.text)["panels"] for target in panel.get("targets", ())]
    return [target["expr"].replace("$tier", "counter") for target in targets]


def used_metrics(root: Path) -> set[str]:
    texts = [(root / prometheus.FOLDER / name).read_text() for name in ("recording.rules.yml", "alerts.rules.yml")]
    return set(re.findall(r"(?<![:\w])(celery_\w+_\w+)(?![:\w])", "\n".join(texts)))
