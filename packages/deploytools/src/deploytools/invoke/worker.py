"""`worker.<tier>`, `worker.dev`, `worker.all`."""

import os
from typing import Any

from invoke.collection import Collection

from deploytools.broker.choice import ready_broker
from deploytools.commands import Command, dev_worker_command, reloading_command, worker_command
from deploytools.fleet import Fleet, Tier
from deploytools.invoke.command import Command as InvokeCommand
from deploytools.invoke.command import command
from deploytools.invoke.fleet_run import run_services
from deploytools.launch import exec_command
from deploytools.project import code_folders
from deploytools.settings import current_project, current_settings

HELP = {"dry": "print the command line and start nothing"}


def collection(fleet: Fleet) -> Collection:
    """Return a command for each tier, and those for all of them."""
    ns = Collection("worker")
    for tier in fleet:
        ns.add_task(_tier_command(tier))
    ns.add_task(dev)
    ns.add_task(all_)
    return ns


def _tier_command(tier: Tier) -> InvokeCommand:
    @command(name=tier.name, help=HELP)
    def start(_: Any, dry: bool = False) -> None:
        settings, project = current_settings(), current_project()
        line = worker_command(
            project.fleet(),
            settings.applied_to(tier),
            log_level=settings.log_level,
            node=str(os.getpid()),  # kept by exec, so unique on this host
        )
        _start(line, dry=dry)

    start.__doc__ = f"Start a worker of tier {tier.name} (queue {tier.queue})."
    return start


@command(help={**HELP, "concurrency": "number of processes", "reload": "restart when code changes"})
def dev(_: Any, dry: bool = False, concurrency: int = 2, reload: bool = True) -> None:
    """Start one worker for all queues, which restarts when the code changes."""
    settings, project = current_settings(), current_project()
    fleet = project.fleet()
    line = dev_worker_command(
        fleet,
        concurrency=settings.concurrency or concurrency,
        max_tasks_per_child=settings.max_tasks_per_child,
        log_level=settings.log_level,
        node=str(os.getpid()),
    )
    _start(reloading_command(line, code_folders(project, fleet)) if reload else line, dry=dry)


@command(name="all", help={**HELP, "replicas": "as many workers a tier as the fleet declares, not one"})
def all_(_: Any, dry: bool = False, replicas: bool = False) -> None:
    """Run workers of all tiers in this terminal, restarted when they end."""
    from deploytools.services import worker_services

    fleet = current_project().fleet()
    run_services(worker_services(fleet, current_settings(), node=str(os.getpid()), replicas=replicas), dry=dry)


def _start(line: Command, *, dry: bool) -> None:
    if dry:
        print(line)
        return
    project = current_project()
    ready_broker(current_settings(), project)
    exec_command(line, project)
