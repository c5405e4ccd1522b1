"""Which programs make a fleet."""

import signal
from pathlib import Path

import pytest

from deploytools.broker.choice import broker_address
from deploytools.fleet import Fleet
from deploytools.project import Project
from deploytools.services import beat_service, worker_services
from deploytools.settings import Settings

PROJECT = Project(root=Path("/srv/shop"), fleet_path=Path("/srv/shop/fleet.toml"), state=Path("/srv/shop/state"))


def test_one_worker_a_tier_is_kept_running_with_the_tiers_grace(fleet: Fleet) -> None:
    services = worker_services(fleet, Settings(), node="7")

    assert [(service.name, service.grace_seconds) for service in services] == [
        ("high", 130),
        ("medium", 610),
        ("low", 910),
    ]
    assert {service.cold_shutdown_signal for service in services} == {signal.SIGQUIT}


def test_replicas_are_kept_running_under_names_that_differ(fleet: Fleet) -> None:
    services = worker_services(fleet, Settings(), node="7", replicas=True)

    assert [service.name for service in services] == ["high-1", "high-2", "medium-1", "medium-2", "low"]
    nodes = [word for service in services for word in service.command.argv if word.startswith("--hostname=")]
    assert nodes == [
        "--hostname=high-7-1@%h",
        "--hostname=high-7-2@%h",
        "--hostname=medium-7-1@%h",
        "--hostname=medium-7-2@%h",
        "--hostname=low-7-1@%h",
    ]


def test_what_the_environment_overrides_reaches_every_worker(fleet: Fleet) -> None:
    settings = Settings(autoscale_min=3, autoscale_max=5, log_level="debug")

    for service in worker_services(fleet, settings, node="7"):
        assert "--autoscale=5,3" in service.command.argv
        assert "--loglevel=debug" in service.command.argv


RABBIT, REDIS = "amqp://rabbit", "redis://redis"


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        pytest.param(Settings(), None, id="in-redis"),
        pytest.param(Settings(broker_url=REDIS), None, id="in-the-fleets-redis"),
        pytest.param(Settings(broker_url=RABBIT), "/srv/shop/state/celerybeat-schedule", id="the-project's-file"),
        pytest.param(Settings(beat_schedule=Path("/var/beat")), "/var/beat", id="the-environment's-file"),
    ],
)
def test_the_scheduler_is_never_ended_before_it_resigned_or_closed_its_file(
    fleet: Fleet, settings: Settings, schedule: str | None
) -> None:
    service = beat_service(fleet, settings, project=PROJECT, address=broker_address(settings, PROJECT))

    assert service.name == "beat"
    files = [word for word in service.command.argv if word.startswith("--schedule=")]
    assert files == ([f"--schedule={schedule}"] if schedule else [])
    assert service.cold_shutdown_signal is signal.SIGTERM
