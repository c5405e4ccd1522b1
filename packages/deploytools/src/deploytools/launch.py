"""Become another program: print its command line, then replace this process, so that signals reach it."""

import os
import sys

from deploytools.commands import Command
from deploytools.project import Project
from deploytools.settings import absolute_paths, environment_with


def child_environment(command: Command, project: Project) -> dict[str, str]:
    """Return the environment for a command: it finds the same fleet, state and files as we did."""
    return environment_with(
        **absolute_paths(),
        DEPLOYTOOLS_FLEET=str(project.fleet_path),
        DEPLOYTOOLS_STATE=str(project.state),
        **command.environment,
    )


def exec_command(command: Command, project: Project) -> None:
    """Print the command line on stderr and replace this process by it, in the project's root."""
    print(f"$ {command}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os.chdir(project.root)
    os.execve(command.argv[0], command.argv, child_environment(command, project))  # noqa: S606
