"""`beat`."""

from typing import Any

from deploytools.broker.choice import ready_broker
from deploytools.commands import beat_command
from deploytools.invoke.command import command
from deploytools.launch import become
from deploytools.settings import current_project, current_settings


@command(help={"dry": "print the command line and start nothing"})
def beat(_: Any, dry: bool = False) -> None:
    """Start the scheduler of periodic tasks: one a fleet."""
    settings, project = current_settings(), current_project()
    line = beat_command(
        project.fleet(), schedule=settings.beat_schedule or project.beat_schedule, log_level=settings.log_level
    )
    if dry:
        print(line)
        return
    ready_broker(settings, project)
    become(line, project)
