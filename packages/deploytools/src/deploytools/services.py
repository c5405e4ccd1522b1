"""Which programs make a fleet: values for the supervisor. Pure."""

import signal
from dataclasses import dataclass

from deploytools.broker.address import BrokerAddress, is_hardened
from deploytools.commands import Command, beat_command, worker_command
from deploytools.fleet import Fleet
from deploytools.project import Project
from deploytools.settings import Settings

# Beat has nothing to finish; it resigns, or closes its schedule file. Measured: 0.3 s.
BEAT_GRACE_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A program to keep running. `cold_shutdown_signal` is what makes it end at once without losing anything."""

    name: str
    command: Command
    grace_seconds: float
    cold_shutdown_signal: signal.Signals


def worker_services(fleet: Fleet, settings: Settings, *, node: str, replicas: bool = False) -> list[Service]:
    """Return the workers to keep running: one a tier, or with `replicas` as many as the fleet declares.

    `node` makes their names differ from those of other fleets on this host.
    """
    return [
        Service(
            name=tier.name if count == 1 else f"{tier.name}-{number}",
            command=worker_command(
                fleet, settings.applied_to(tier), log_level=settings.log_level, node=f"{node}-{number}"
            ),
            grace_seconds=tier.grace_seconds,
            cold_shutdown_signal=signal.SIGQUIT,
        )
        for tier in fleet
        for count in [tier.replicas if replicas else 1]
        for number in range(1, count + 1)
    ]


def beat_service(fleet: Fleet, settings: Settings, *, project: Project, address: BrokerAddress) -> Service:
    """Return the scheduler. It keeps its state in Redis, or in a file: the one CELERY_BEAT_SCHEDULE names if it does.

    With its state in Redis any number may run, one leads; a file is guarded on its host only.
    """
    schedule = settings.beat_schedule or (None if is_hardened(fleet, address) else project.beat_schedule)
    return Service(
        name="beat",
        command=beat_command(fleet, schedule=schedule, log_level=settings.log_level),
        grace_seconds=BEAT_GRACE_SECONDS,
        cold_shutdown_signal=signal.SIGTERM,  # SIGQUIT would end it before it resigned, or closed its file
    )
