"""`beat`."""

from typing import Any

from deploytools.broker.choice import broker_address, ready_broker
from deploytools.invoke.command import command
from deploytools.launch import exec_command
from deploytools.services import beat_service
from deploytools.settings import current_project, current_settings


@command(help={"dry": "print the command line and start nothing"})
def beat(_: Any, dry: bool = False) -> None:
    """Start the scheduler of periodic tasks. More of them stand by and take over."""
    settings, project = current_settings(), current_project()
    line = beat_service(project.fleet(), settings, project=project, address=broker_address(settings, project)).command
    if dry:
        print(line)
        return
    ready_broker(settings, project)
    exec_command(line, project)
