"""Which broker a command talks to."""

from pathlib import Path

import pytest

from deploytools.broker.choice import broker_address
from deploytools.errors import BrokerAddressError
from deploytools.project import Project
from deploytools.settings import Settings

PROJECT = Project(root=Path("/srv/shop"), fleet_path=Path("/srv/shop/fleet.toml"), state=Path("/srv/shop/state"))


@pytest.mark.parametrize("in_container", [False, True], ids=["host", "container"])
def test_the_broker_that_is_named_is_used(in_container: bool) -> None:
    address = broker_address(Settings(broker_url="redis://host/0", in_container=in_container), PROJECT)

    assert address.url == "redis://host/0"


def test_without_a_name_it_is_the_projects_own() -> None:
    assert broker_address(Settings(), PROJECT).socket_path == "/srv/shop/state/broker/valkey.sock"


def test_a_container_never_falls_back_to_a_broker_nobody_else_can_reach() -> None:
    with pytest.raises(BrokerAddressError, match=r"^CELERY_BROKER_URL is not set: .* set it to the fleet's broker$"):
        broker_address(Settings(in_container=True), PROJECT)
