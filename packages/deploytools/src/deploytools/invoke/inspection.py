"""`inspect`, `stats`, `queues`, `events`: what runs, and what waits."""

import json
import sys
from typing import TYPE_CHECKING, Any

from deploytools.broker.choice import broker_address
from deploytools.broker.reach import wait_until_reachable
from deploytools.commands import events_command
from deploytools.errors import BrokerUnreachableError
from deploytools.invoke.command import command
from deploytools.launch import exec_command
from deploytools.settings import current_project, current_settings

if TYPE_CHECKING:
    from deploytools.inspect.snapshot import Snapshot

HELP = {"json": "print one JSON object on stdout"}
REACH_SECONDS = 1.0


@command(help=HELP)
def inspect(_: Any, json_: bool = False) -> None:
    """Show the workers of each tier, and what they run now."""
    from deploytools.inspect.tables import workers_table

    show(workers_table, json_=json_)


@command(help=HELP)
def stats(_: Any, json_: bool = False) -> None:
    """Show the pools of all workers: processes, prefetch, tasks run, memory."""
    from deploytools.inspect.tables import pools_table

    show(pools_table, json_=json_)


@command(help=HELP)
def queues(_: Any, json_: bool = False) -> None:
    """Show what waits in each tier's queue, and how long the oldest has waited."""
    from deploytools.inspect.tables import queues_table

    show(queues_table, json_=json_)


@command(help={"dry": "print the command line and start nothing"})
def events(_: Any, dry: bool = False) -> None:
    """Watch Celery's events: a screen on a terminal, lines elsewhere."""
    project = current_project()
    line = events_command(project.fleet(), dump=not sys.stdout.isatty())
    if dry:
        print(line)
        return
    reach()
    exec_command(line, project)


def show(table: Any, *, json_: bool) -> None:
    """Print a snapshot of the fleet: as a table that `table` makes of it, or as JSON."""
    snapshot = _snapshot()
    if json_:
        print(json.dumps(snapshot.as_json()))
        return
    from deploytools.inspect.layout import print_table

    print_table(table(snapshot))


def _snapshot() -> "Snapshot":
    reach()
    from kombu.exceptions import OperationalError

    from deploytools.app import load_app
    from deploytools.inspect.snapshot import take_snapshot

    project = current_project()
    fleet = project.fleet()
    try:
        return take_snapshot(load_app(project, fleet), fleet)
    except (OperationalError, OSError) as error:
        raise BrokerUnreachableError(f"the broker went away while it was asked ({error}): try again") from None


def reach() -> None:
    """Check the broker. Looking must not start one: there would be nothing to see in it."""
    wait_until_reachable(broker_address(current_settings(), current_project()), deadline_seconds=REACH_SECONDS)


TASKS = (inspect, stats, queues, events)
