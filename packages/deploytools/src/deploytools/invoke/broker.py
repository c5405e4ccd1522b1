"""`broker.up`, `broker.down`, `broker.status`: the embedded broker. `broker.acl`: what another one should allow."""

import json
from typing import Any

from invoke.collection import Collection

from deploytools.broker.acl import acl_rules
from deploytools.broker.choice import broker_address
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.broker.reach import is_reachable
from deploytools.invoke.command import command
from deploytools.settings import current_project, current_settings


@command()
def up(_: Any) -> None:
    """Start the project's embedded broker, unless it runs."""
    broker = EmbeddedBroker(state=current_project().state)
    print(f"{'started' if broker.start() else 'runs already'}: {broker.address}")


@command()
def down(_: Any) -> None:
    """Stop the embedded broker; what is queued in it stays."""
    stopped = EmbeddedBroker(state=current_project().state).stop()
    print("stopped" if stopped else "it was not running")


@command(help={"json": "print one JSON object on stdout"})
def status(_: Any, json_: bool = False) -> None:
    """Say which broker this project uses, and whether it answers."""
    settings, project = current_settings(), current_project()
    address = broker_address(settings, project)
    answers = is_reachable(address)
    if json_:
        print(json.dumps({"url": str(address), "embedded": settings.broker_url is None, "answers": answers}))
    else:
        print(f"{'embedded ' if settings.broker_url is None else ''}broker {address}: {'up' if answers else 'down'}")


@command(help={"user": "the user's name", "database": "the number in CELERY_BROKER_URL"})
def acl(_: Any, user: str = "fleet", database: int = 0) -> None:
    """Print the least rights that work, as a line of a Redis ACL file; the password's SHA-256 is yours to put in."""
    rules = acl_rules(current_project().fleet(), database=database)
    print(f"user {user} on #<sha256-of-the-password> {' '.join(rules)}")


ns = Collection("broker", up, down, status, acl)
