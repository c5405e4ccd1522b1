"""The Celery settings that follow from the fleet."""

import pytest
from celery.app.defaults import SETTING_KEYS

from deploytools.broker.address import BrokerAddress, parse_address
from deploytools.fleet import Fleet
from deploytools.worker.settings import fleet_settings

REDIS = parse_address("redis://host/0")
AMQP = parse_address("amqp://host//")


def test_each_queue_has_an_exchange_and_a_key_of_its_own(fleet: Fleet) -> None:
    queues = fleet_settings(fleet, REDIS)["task_queues"]

    assert [(queue.name, queue.exchange.name, queue.exchange.type, queue.routing_key) for queue in queues] == [
        ("high_priority", "high_priority", "direct", "high_priority"),
        ("medium_priority", "medium_priority", "direct", "medium_priority"),
        ("low_priority", "low_priority", "direct", "low_priority"),
    ]


@pytest.mark.parametrize("kind", ["queue", "exchange", "routing_key"])
def test_what_no_route_names_goes_to_the_default_tier(fleet: Fleet, kind: str) -> None:
    assert fleet_settings(fleet, REDIS)[f"task_default_{kind}"] == "medium_priority"


def test_redis_waits_for_two_full_runs_and_notices_a_peer_that_hangs(fleet: Fleet) -> None:
    options = fleet_settings(fleet, REDIS)["broker_transport_options"]

    assert options["visibility_timeout"] == fleet.visibility_timeout_seconds
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 5
    assert options["priority_steps"] == [0]


def test_amqp_gets_no_options_of_redis(fleet: Fleet) -> None:
    assert fleet_settings(fleet, AMQP)["broker_transport_options"] == {}


@pytest.mark.parametrize("address", [REDIS, AMQP], ids=["redis", "amqp"])
def test_an_accepted_task_is_never_acknowledged_before_it_ended(fleet: Fleet, address: BrokerAddress) -> None:
    settings = fleet_settings(fleet, address)

    assert settings["task_acks_late"] is True
    assert settings["task_reject_on_worker_lost"] is True


def test_celery_knows_every_setting(fleet: Fleet) -> None:
    settings = fleet_settings(fleet, REDIS)

    assert settings.keys() <= SETTING_KEYS
