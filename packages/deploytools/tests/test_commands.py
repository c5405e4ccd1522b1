"""Fleet values as command lines, and Celery's own parser on them."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from celery import Celery
from celery.bin.base import CeleryCommand, CLIContext
from celery.bin.beat import beat
from celery.bin.events import events
from celery.bin.worker import worker
from hypothesis import given, settings

from deploytools.commands import (
    Command,
    beat_command,
    dev_worker_command,
    events_command,
    flower_command,
    reloading_command,
    worker_command,
)
from deploytools.fleet import Fleet, Tier
from deploytools.testing.strategies import valid_fleets

PYTHON = sys.executable
CELERY = (PYTHON, "-m", "deploytools.celery", "-A", "app.tasks:celery_app")
QUIET = ("--without-gossip", "--without-mingle", "--heartbeat-interval=10")
TIERS = ("high", "medium", "low")


def parsed(command: CeleryCommand, argv: Sequence[str]) -> dict[str, object]:
    """Return what Celery's own parser makes of the arguments after the sub-command's name."""
    name = command.name or ""
    shop = CLIContext(app=Celery("shop", set_as_current=False), no_color=True, workdir=None)
    with command.make_context(name, list(argv[argv.index(name) + 1 :]), obj=shop) as context:
        return context.params


@pytest.mark.parametrize(
    ("tier", "wrapper", "options"),
    [
        pytest.param(
            "high",
            "",
            "--queues=high_priority --hostname=high-7@%h --concurrency=4 --autoscale=8,2 --prefetch-multiplier=1 "
            "--max-tasks-per-child=1000 --time-limit=120 --soft-time-limit=108",
            id="high",
        ),
        pytest.param(
            "medium",
            "/usr/bin/nice -n 5",
            "--queues=medium_priority --hostname=medium-7@%h --concurrency=6 --autoscale=12,4 --prefetch-multiplier=1 "
            "--max-tasks-per-child=1000 --time-limit=600 --soft-time-limit=540",
            id="medium",
        ),
        pytest.param(
            "low",
            "/usr/bin/nice -n 10",
            "--queues=low_priority --hostname=low-7@%h --concurrency=2 --autoscale=4,1 --prefetch-multiplier=1 "
            "--max-tasks-per-child=1000 --time-limit=900 --soft-time-limit=810",
            id="low",
        ),
    ],
)
def test_a_tier_has_exactly_this_command_line(fleet: Fleet, tier: str, wrapper: str, options: str) -> None:
    command = worker_command(fleet, fleet.tier(tier), log_level="info", node="7")

    assert command == Command(argv=(*wrapper.split(), *CELERY, "worker", *options.split(), *QUIET, "--loglevel=info"))


def test_a_development_worker_takes_all_queues_with_the_most_patient_tiers_limits(fleet: Fleet) -> None:
    command = dev_worker_command(fleet, concurrency=3, log_level="debug", node="7")

    options = (
        "--queues=high_priority,medium_priority,low_priority --hostname=dev-7@%h --concurrency=3 "
        "--prefetch-multiplier=1 --max-tasks-per-child=1000 --time-limit=900 --soft-time-limit=810"
    )
    assert command == Command(argv=(*CELERY, "worker", *options.split(), *QUIET, "--loglevel=debug"))


@pytest.mark.parametrize("name", TIERS)
def test_celery_understands_every_option_of_a_worker(fleet: Fleet, name: str) -> None:
    tier = fleet.tier(name)

    options = parsed(worker, worker_command(fleet, tier, log_level="warning", node="7").argv)

    expected = {
        "queues": [tier.queue],
        "concurrency": tier.concurrency,
        "autoscale": (tier.autoscale.max, tier.autoscale.min),
        "prefetch_multiplier": tier.prefetch_multiplier,
        "max_tasks_per_child": tier.max_tasks_per_child,
        "time_limit": tier.time_limit_seconds,
        "soft_time_limit": tier.soft_time_limit_seconds,
        "without_gossip": True,
        "without_mingle": True,
        "without_heartbeat": False,
        "heartbeat_interval": 10,
        "loglevel": 30,
    }
    assert {option: options[option] for option in expected} == expected
    assert str(options["hostname"]).startswith(f"{name}-7@")


@settings(max_examples=100)
@given(valid_fleets())
def test_celery_understands_every_option_of_a_worker_of_any_fleet(fleet: Fleet) -> None:
    for tier in fleet:
        options = parsed(worker, worker_command(fleet, tier, log_level="info", node="7").argv)

        assert options["queues"] == [tier.queue]
        assert options["autoscale"] == (tier.autoscale.max, tier.autoscale.min)


def test_celery_understands_every_option_of_a_development_worker(fleet: Fleet) -> None:
    options = parsed(worker, dev_worker_command(fleet, concurrency=3, log_level="info", node="7").argv)

    assert options["queues"] == ["high_priority", "medium_priority", "low_priority"]
    assert (options["concurrency"], options["autoscale"]) == (3, None)


def test_a_tier_as_nice_as_any_other_program_needs_no_wrapper(fleet: Fleet, make_tier: Callable[..., Tier]) -> None:
    assert worker_command(fleet, make_tier(nice=0), log_level="info", node="7").argv[0] == PYTHON
    assert worker_command(fleet, make_tier(nice=19), log_level="info", node="7").argv[:3] == (
        "/usr/bin/nice",
        "-n",
        "19",
    )


def test_beat_keeps_its_schedule_where_it_is_told_and_no_pid_file(fleet: Fleet) -> None:
    command = beat_command(fleet, schedule=Path("/var/lib/beat"), log_level="info")

    assert command.argv == (
        *(*CELERY, "beat", "--scheduler=deploytools.beat.file:FileScheduler", "--schedule=/var/lib/beat"),
        *("--loglevel=info", "--pidfile="),
    )
    assert parsed(beat, command.argv)["schedule"] == "/var/lib/beat"


def test_beat_without_a_file_keeps_its_schedule_in_redis(fleet: Fleet) -> None:
    command = beat_command(fleet, schedule=None, log_level="info")

    assert "--scheduler=deploytools.beat.scheduler:Scheduler" in command.argv
    assert not [word for word in command.argv if word.startswith("--schedule=")]


@pytest.mark.filterwarnings("ignore:The parameter -d is used more than once:UserWarning")  # in Celery 5.7 itself
@pytest.mark.parametrize(
    ("dump", "arguments"), [pytest.param(False, (), id="screen"), pytest.param(True, ("--dump",), id="lines")]
)
def test_events_are_a_screen_or_lines(fleet: Fleet, dump: bool, arguments: tuple[str, ...]) -> None:
    command = events_command(fleet, dump=dump)

    assert command.argv == (*CELERY, "events", *arguments)
    assert parsed(events, command.argv)["dump"] is dump


def test_flower_gets_its_password_through_the_environment_and_nobody_sees_it(fleet: Fleet) -> None:
    command = flower_command(fleet, address="127.0.0.1", port=5555, auth="eve:S3cr3t")

    assert command.argv == (
        *(PYTHON, "-m", "deploytools.flower", "-A", "app.tasks:celery_app", "flower"),
        "--address=127.0.0.1",
        "--port=5555",
    )
    assert command.environment == {"FLOWER_BASIC_AUTH": "eve:S3cr3t"}
    assert not any("S3cr3t" in shown for shown in (str(command), repr(command), *command.argv))


def test_a_reloading_command_watches_the_folders_and_keeps_the_environment() -> None:
    command = Command(argv=("celery", "worker", "--hostname=a b@%h"), environment={"TOKEN": "S3cr3t"})

    reloading = reloading_command(command, [Path("/srv/app"), Path("/srv/lib")])

    assert reloading.argv == (
        *(PYTHON, "-m", "watchfiles", "--filter", "python", "--sigint-timeout", "10"),
        "celery worker '--hostname=a b@%h'",
        "/srv/app",
        "/srv/lib",
    )
    assert reloading.environment == {"TOKEN": "S3cr3t"}


def test_a_command_reads_as_a_line_that_can_be_typed() -> None:
    command = Command(argv=("celery", "worker", "--hostname=a b@%h", "--name=$x"))

    assert str(command) == "celery worker '--hostname=a b@%h' '--name=$x'"
