"""Fleets as values: the declared one, what is derived from it, and random ones."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from celery.app.routes import MapRoute
from hypothesis import given

from deploytools.errors import FleetFileError
from deploytools.fleet import Fleet, Queue, Tier, parse_fleet
from deploytools.testing.strategies import valid_fleets

# The tables of the deployment guide: queue, tasks, autoscale, base concurrency, replicas, CPUs, memory.
GUIDE = {
    "high": ("high_priority", ("chat", "images", "asr", "web_search"), (2, 8), 4, 2, 2.0, "2G"),
    "medium": ("medium_priority", ("embeddings", "storage", "promotion", "dataset"), (4, 12), 6, 2, 4.0, "4G"),
    "low": ("low_priority", ("email", "cleanup", "langfuse", "leaderboard"), (1, 4), 2, 1, 1.0, "1G"),
}


def to_toml(value: Any) -> str:
    """Write a value as TOML on one line; its strings must be ASCII without control characters."""
    match value:
        case dict():
            pairs = (f"{json.dumps(key)} = {to_toml(item)}" for key, item in value.items() if item is not None)
            return "{ " + ", ".join(pairs) + " }"
        case list() | tuple():
            return "[" + ", ".join(to_toml(item) for item in value) + "]"
        case _:
            return json.dumps(value)


def fleet_file(fleet: Fleet) -> str:
    """Write a fleet file that declares a fleet."""
    head = msgspec.to_builtins(fleet)
    tiers = {tier.pop("name"): tier for tier in head.pop("tiers")}
    return f"deploy = {to_toml(head.pop('deploy'))}\nfleet = {to_toml(head)}\ntiers = {to_toml(tiers)}\n"


def test_the_declared_fleet_has_exactly_the_numbers_of_the_deployment_guide(fleet: Fleet) -> None:
    found = {
        tier.name: (
            tier.queue,
            tuple(pattern.removeprefix("app.tasks.").removesuffix(".*") for pattern in tier.tasks),
            (tier.autoscale.min, tier.autoscale.max),
            tier.concurrency,
            tier.replicas,
            tier.resources and tier.resources.cpus,
            tier.resources and tier.resources.memory,
        )
        for tier in fleet
    }

    assert found == GUIDE
    assert {(tier.prefetch_multiplier, tier.max_tasks_per_child) for tier in fleet} == {(1, 1000)}
    assert (fleet.app, fleet.default_tier) == ("app.tasks:celery_app", "medium")


def test_a_fleet_cannot_be_changed(fleet: Fleet) -> None:
    with pytest.raises(AttributeError):
        fleet.default_tier = "low"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("limit_seconds", "soft_seconds"),
    [
        pytest.param(1, 1, id="never-less-than-a-second"),
        pytest.param(2, 1, id="rounded-down"),
        pytest.param(120, 108, id="two-minutes"),
        pytest.param(600, 540, id="ten-minutes"),
    ],
)
def test_the_soft_limit_leaves_a_tenth_for_cleaning_up(
    make_tier: Callable[..., Tier], limit_seconds: int, soft_seconds: int
) -> None:
    tier = make_tier(time_limit_seconds=limit_seconds)

    assert tier.soft_time_limit_seconds == soft_seconds


def test_the_grace_period_is_the_longest_task_and_ten_seconds_to_close(make_tier: Callable[..., Tier]) -> None:
    tier = make_tier(time_limit_seconds=120)

    assert tier.grace_seconds == 130


@pytest.mark.parametrize(
    ("limits_seconds", "timeout_seconds"),
    [
        pytest.param((60,), 3600, id="an-hour-at-least"),
        pytest.param((1795,), 3600, id="the-last-that-fits-an-hour"),
        pytest.param((1796,), 3602, id="the-first-that-does-not"),
        pytest.param((120, 7200, 600), 14_410, id="the-longest-tier-decides"),
    ],
)
def test_the_visibility_timeout_is_twice_the_longest_limit_and_the_time_to_close(
    make_tier: Callable[..., Tier], limits_seconds: tuple[int, ...], timeout_seconds: int
) -> None:
    tiers = tuple(make_tier(time_limit_seconds=limit) for limit in limits_seconds)

    assert Fleet(app="shop", default_tier="quick", tiers=tiers).visibility_timeout_seconds == timeout_seconds


@pytest.mark.parametrize(
    ("task", "tier"),
    [
        pytest.param("app.tasks.chat.answer", "high", id="high"),
        pytest.param("app.tasks.dataset.export.csv", "medium", id="medium-several-levels-down"),
        pytest.param("app.tasks.cleanup.expire", "low", id="low"),
        pytest.param("app.tasks.chat", "medium", id="a-module-is-no-task-of-its-own"),
        pytest.param("app.tasks.CHAT.answer", "medium", id="upper-case-is-another-name"),
        pytest.param("celery.backend_cleanup", "medium", id="somebody-else's"),
    ],
)
def test_a_task_runs_on_the_tier_that_names_it_else_on_the_default(fleet: Fleet, task: str, tier: str) -> None:
    assert fleet.tier_of_task(task) is fleet.tier(tier)


def test_a_queue_leads_to_its_tier_and_an_unknown_one_to_none(fleet: Fleet) -> None:
    assert fleet.tier_of_queue("low_priority") is fleet.tier("low")
    assert fleet.tier_of_queue("celery") is None


def test_an_unknown_tier_is_an_error_that_names_those_there_are(fleet: Fleet) -> None:
    with pytest.raises(FleetFileError) as caught:
        fleet.tier("urgent")

    assert str(caught.value) == "no tier is called 'urgent': the fleet has high, medium, low"


def test_each_tier_has_a_queue_with_an_exchange_and_a_key_of_its_own(fleet: Fleet) -> None:
    queues = fleet.queues()

    assert queues == tuple(Queue(name=name) for name in ("high_priority", "medium_priority", "low_priority"))
    assert [(queue.exchange, queue.routing_key) for queue in queues] == [(queue.name, queue.name) for queue in queues]


def test_every_pattern_is_routed_to_the_queue_of_its_tier(fleet: Fleet) -> None:
    routes = fleet.routes()

    assert len(routes) == 12
    assert routes["app.tasks.images.*"] == {"queue": "high_priority"}
    assert routes["app.tasks.storage.*"] == {"queue": "medium_priority"}
    assert routes["app.tasks.cleanup.*"] == {"queue": "low_priority"}


@given(valid_fleets())
def test_any_valid_fleet_survives_being_written_and_read(fleet: Fleet) -> None:
    assert parse_fleet(fleet_file(fleet)) == fleet


@given(valid_fleets())
def test_celery_routes_every_pattern_as_the_fleet_says(fleet: Fleet) -> None:
    celerys_routes = MapRoute(fleet.routes())
    tasks = {pattern.replace("*", "x.y"): tier for tier in fleet for pattern in tier.tasks}

    assert {task: fleet.tier_of_task(task) for task in tasks} == tasks
    assert {task: celerys_routes(task) for task in tasks} == {task: {"queue": tasks[task].queue} for task in tasks}


@given(valid_fleets())
def test_a_taken_task_stays_hidden_for_two_full_runs(fleet: Fleet) -> None:
    assert fleet.visibility_timeout_seconds >= 2 * max(tier.time_limit_seconds for tier in fleet)
    assert all(tier.soft_time_limit_seconds <= tier.time_limit_seconds < tier.grace_seconds for tier in fleet)
