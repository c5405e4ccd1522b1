"""`up` and `demo`: the whole fleet in one terminal."""

import os
from typing import Any

from deploytools.invoke.command import command
from deploytools.settings import current_project, current_settings


@command(
    help={
        "dry": "print the command lines and start nothing",
        "replicas": "as many workers a tier as the fleet declares, not one",
    }
)
def up(_: Any, dry: bool = False, replicas: bool = False) -> None:
    """Run the broker, workers of all tiers and beat in this terminal, until Ctrl-C."""
    from deploytools.broker.choice import broker_address
    from deploytools.services import beat_service, worker_services

    settings, project = current_settings(), current_project()
    fleet = project.fleet()
    services = [
        *worker_services(fleet, settings, node=str(os.getpid()), replicas=replicas),
        beat_service(fleet, settings, project=project, address=broker_address(settings, project)),
    ]
    run_services(services, dry=dry)


def run_services(services: list[Any], *, dry: bool) -> None:
    """Print the services' command lines, or keep them and their broker running."""
    from deploytools.running import keep_running

    if dry:
        for service in services:
            print(service.command)
        return
    keep_running(services, current_settings(), current_project())


@command(
    help={
        "seconds": "how long to offer load",
        "json": "print one JSON object on stdout, all else on stderr",
    }
)
def demo(_: Any, seconds: float = 15.0, json_: bool = False) -> None:
    """Run a fleet on a broker of its own, offer it a mixed load, and show how long each tier's tasks waited.

    The last line is the verdict. The exit code is 1 if an accepted task was lost. A missed promise is shown in red and
    leaves the exit code at 0, for a laptop may be busy; `load.run` fails on it.
    """
    import json

    from deploytools.load.demo_fleet import run_demo
    from deploytools.load.demo_report import print_result, print_result_tables, print_verdict

    result, shown = run_demo(seconds=seconds)
    if json_:
        print(json.dumps(result.as_json()))
    else:
        print_result(result)
        print_result_tables(shown)
        print_verdict(result)
    result.raise_if_lost()


TASKS = (up, demo)
