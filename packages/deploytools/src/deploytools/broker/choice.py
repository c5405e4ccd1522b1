"""Which broker a command talks to: the one `CELERY_BROKER_URL` names, else the project's embedded one."""

from deploytools.broker.address import BrokerAddress, parse_address
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.broker.reach import wait_until_reachable
from deploytools.errors import BrokerAddressError
from deploytools.project import Project
from deploytools.settings import Settings, read_secret

# Long enough for a broker that is just being restarted; short enough that a wrong address is a quick answer.
REACH_DEADLINE_SECONDS = 2.0


def broker_address(settings: Settings, project: Project) -> BrokerAddress:
    """Return the broker's address without touching the broker.

    In a container a missing URL is an error: an embedded broker there would be one nobody else can reach.
    """
    if settings.broker_url:
        address = parse_address(settings.broker_url)
        path = settings.broker_password_file
        return address.with_password(read_secret(path, "CELERY_BROKER_PASSWORD_FILE")) if path else address
    if settings.in_container:
        raise BrokerAddressError(
            "CELERY_BROKER_URL is not set: a container never starts a broker of its own: set it to the fleet's broker"
        )
    return EmbeddedBroker(state=project.state).address


def ready_broker(settings: Settings, project: Project) -> BrokerAddress:
    """Return the address of a broker that answers; start the embedded one if that is the choice."""
    address = broker_address(settings, project)
    if settings.broker_url:
        wait_until_reachable(address, deadline_seconds=REACH_DEADLINE_SECONDS)
    else:
        EmbeddedBroker(state=project.state).start()
    return address
