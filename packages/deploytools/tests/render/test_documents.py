"""Rendered files: as committed, valid for any fleet, and with what a fleet asks for in them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import PodMonitor
from hypothesis import given, settings

from deploytools.deploy.secrets import access_list
from deploytools.fleet import Deploy, Fleet, Patches, parse_fleet
from deploytools.render import compose, kubernetes, systemd
from deploytools.render.document import merge
from deploytools.render.rendering import Plan, Rendering, drift
from deploytools.testing.strategies import valid_fleets

ROOT = Path(__file__).parents[4]
VERSIONS = ("1.35", "1.36", "1.37")
CUSTOM = {each.__name__: each for each in (ScaledObject, TriggerAuthentication, PodMonitor)}

FLEET = """
[deploy]
environment = { DEBUG = "50% $HOME" }
labels = { team = "arena" }
broker_rules = ["+type"]
[deploy.patches.compose.services.broker]
image = "redis:8.0"
[deploy.patches.kubernetes."NetworkPolicy/celery".spec]
egress = []
[deploy.patches.systemd.Service]
Slice = "celery.slice"

[fleet]
app = "shop:app"
default_tier = "counter"

[tiers.counter]
queue = "counter"
tasks = ["shop.*"]
start_within_seconds = 1
concurrency = 2
autoscale = { min = 1, max = 4 }
time_limit_seconds = 30
replicas = 3
[tiers.counter.deploy]
environment = { DEBUG = "2" }
volumes = ["models:/models:ro"]
[tiers.counter.deploy.patches]
compose = { mem_swappiness = 0 }
kubernetes = { spec = { template = { spec = { priorityClassName = "urgent" } } } }
systemd = { Service = { Slice = "urgent.slice" } }
"""


def plan(fleet: Fleet) -> Plan:
    return Plan(fleet=fleet, fleet_path=Path("fleet.toml"))


def documents(renderings: Iterable[Rendering]) -> Iterator[Any]:
    for each in renderings:
        if each.path.suffix == ".yaml":
            yield from yaml.safe_load_all(each.text)


def manifests(fleet: Fleet) -> dict[str, Any]:
    """Return `Kind/name` → manifest."""
    found = [each for each in documents(kubernetes.render(plan(fleet))) if each["kind"] != "Kustomization"]
    named = {f"{each['kind']}/{each['metadata']['name']}": each for each in found}
    assert len(named) == len(found)  # no two have the same name
    return named


def expect_valid_manifest(manifest: dict[str, Any], versions: Iterable[str] = VERSIONS) -> None:
    kind = CUSTOM.get(manifest["kind"])
    if kind:  # what its schema does not know is gone when it is written again
        assert kind.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest
        return
    for version in versions:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_what_is_committed_is_what_the_fleet_renders(fleet: Fleet, fleet_path: Path) -> None:
    mine = Plan(fleet=fleet, fleet_path=fleet_path.relative_to(ROOT))

    assert drift([*compose.render(mine), *kubernetes.render(mine), *systemd.render(mine)], ROOT) == ""


def test_the_manifests_are_valid_for_the_three_newest_versions(fleet: Fleet) -> None:
    found = manifests(fleet)

    assert len([name for name in found if name.startswith("Deployment/")]) == len(fleet.tiers) + 1
    for manifest in found.values():
        expect_valid_manifest(manifest)


@pytest.mark.timeout(300)
@settings(max_examples=100)
@given(valid_fleets())
def test_files_of_any_fleet_are_valid_and_keep_what_the_fleet_says(fleet: Fleet) -> None:
    found = manifests(fleet)
    for tier in fleet:
        for kind in ("Deployment", "ScaledObject"):
            expect_valid_manifest(found[f"{kind}/{kubernetes.worker_name(tier)}"], VERSIONS[-1:])
        [container] = found[f"Deployment/{kubernetes.worker_name(tier)}"]["spec"]["template"]["spec"]["containers"]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        wanted = fleet.deploy.environment | tier.deploy.environment
        assert wanted.items() <= variables.items()
    [file] = documents(compose.render(plan(fleet)))
    for tier in fleet:
        service = file["services"][f"celery-worker-{tier.name}"]
        assert service["stop_grace_period"] == f"{tier.grace_seconds}s"
        assert service["deploy"]["replicas"] == tier.replicas
        volumes = {volume.partition(":")[0] for volume in service["volumes"]}
        assert volumes <= file["volumes"].keys()
    assert all("\n\n\n" not in each.text for each in systemd.render(plan(fleet)))


def test_a_tier_s_own_words_go_over_the_fleet_s_and_patches_over_all() -> None:
    fleet = parse_fleet(FLEET)
    [file] = documents(compose.render(plan(fleet)))
    worker = file["services"]["celery-worker-counter"]
    units = {each.path.name: each.text for each in systemd.render(plan(fleet))}
    found = manifests(fleet)

    assert file["services"]["broker"]["image"] == "redis:8.0"
    assert worker["environment"]["DEBUG"] == "2"
    assert file["services"]["celery-beat"]["environment"]["DEBUG"] == "50% $$HOME"
    assert worker["labels"] == {"team": "arena"}
    assert worker["mem_swappiness"] == 0
    assert "models:/models:ro" in worker["volumes"]
    assert found["Deployment/celery-worker-counter"]["spec"]["template"]["spec"]["priorityClassName"] == "urgent"
    assert found["NetworkPolicy/celery"]["spec"]["egress"] == []
    assert 'Environment="DEBUG=50%% $HOME"' in units["celery-beat.service"]
    assert "Slice=urgent.slice" in units["celery-counter@.service"]
    assert "Slice=celery.slice" in units["celery-beat.service"]
    assert "Wants=celery-counter@3.service" in units["celery.target"]


def test_the_access_list_has_what_the_application_needs_and_no_password() -> None:
    text = access_list(parse_fleet(FLEET), "s3cret")

    assert "s3cret" not in text
    assert text.rstrip().endswith(" +type")
    assert "user default off " in text


def test_merging_replaces_what_is_no_table() -> None:
    assert merge({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": {}}) == {"a": {"b": 1, "c": [2]}, "d": {}}


def test_what_a_deployment_gets_can_be_a_key() -> None:
    assert len({Deploy(patches=Patches(compose={"a": {}})), Deploy(patches=Patches(compose={"a": {}}))}) == 1
