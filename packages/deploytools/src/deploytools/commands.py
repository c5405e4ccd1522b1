"""Fleet values → command lines. Pure: lists of arguments, never shell strings; nothing here starts anything."""

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deploytools.fleet import Fleet, Tier

# Celery's command line without third-party plug-ins: see deploytools.celery.
CELERY = (sys.executable, "-m", "deploytools.celery")

# Workers of one host share its CPUs; without this a flood in the lowest tier slows the highest as much as its own.
NICE = "/usr/bin/nice"

# A worker counts as gone after two missed events. Celery's own 2 s costs one PUBLISH per worker and 2 s; 10 s keeps
# Flower right within 20 s at a fifth of that. (The guide's --without-heartbeat shows living workers as dead.)
HEARTBEAT_INTERVAL_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A program to run: its arguments, and variables to add to the environment (these may be secret)."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Return the line a user could type; the environment, which may hold secrets, is left out."""
        return shlex.join(self.argv)


def worker_task(tier: Tier) -> str:
    """Return the name of the command that starts a tier's worker: Invoke writes a dash for an underscore inside."""
    return f"worker.{tier.name[:-1].replace('_', '-')}{tier.name[-1]}"


def worker_command(fleet: Fleet, tier: Tier, *, log_level: str, node: str) -> Command:
    """Return the command line of one worker of a tier; `node` tells it from others on the same host.

    `--concurrency` stands beside `--autoscale` although Celery ignores it there: our autoscaler starts the pool at it.
    """
    return _worker(
        fleet,
        queues=[tier.queue],
        hostname=f"{tier.name}-{node}@%h",
        concurrency=tier.concurrency,
        time_limit_seconds=tier.time_limit_seconds,
        soft_time_limit_seconds=tier.soft_time_limit_seconds,
        max_tasks_per_child=tier.max_tasks_per_child,
        prefetch_multiplier=tier.prefetch_multiplier,
        log_level=log_level,
        more=[f"--autoscale={tier.autoscale.max},{tier.autoscale.min}"],
        nice=tier.nice,
    )


def dev_worker_command(
    fleet: Fleet, *, concurrency: int, log_level: str, node: str, max_tasks_per_child: int | None = None
) -> Command:
    """Return the command line of one worker for all queues, with the limits of the most patient tier.

    `max_tasks_per_child`: None for that tier's.
    """
    slowest = max(fleet, key=lambda tier: tier.time_limit_seconds)
    return _worker(
        fleet,
        queues=[tier.queue for tier in fleet],
        hostname=f"dev-{node}@%h",
        concurrency=concurrency,
        time_limit_seconds=slowest.time_limit_seconds,
        soft_time_limit_seconds=slowest.soft_time_limit_seconds,
        max_tasks_per_child=max_tasks_per_child or slowest.max_tasks_per_child,
        prefetch_multiplier=1,
        log_level=log_level,
    )


def reloading_command(command: Command, folders: Iterable[Path]) -> Command:
    """Wrap a command so that it restarts when Python code below the folders changes."""
    watch = [sys.executable, "-m", "watchfiles", "--filter", "python", "--sigint-timeout", "10"]
    return Command(argv=(*watch, str(command), *map(str, folders)), environment=command.environment)


def beat_command(fleet: Fleet, *, schedule: Path | None, log_level: str) -> Command:
    """Return the command line of the scheduler, which remembers what it sent when: in a file, or with None in Redis."""
    where = [f"--schedule={schedule}"] if schedule else []
    scheduler = "deploytools.beat.file:FileScheduler" if schedule else "deploytools.beat.scheduler:Scheduler"
    return Command(
        argv=(
            *(*CELERY, "-A", fleet.app, "beat", f"--scheduler={scheduler}", *where),
            *(f"--loglevel={log_level}", "--pidfile="),
        )
    )


def flower_command(fleet: Fleet, *, address: str, port: int, auth: str) -> Command:
    """Return the command line of Flower. `auth` is `user:password` and goes through the environment, not argv."""
    return Command(
        argv=(
            sys.executable,
            "-m",
            "deploytools.flower",
            "-A",
            fleet.app,
            "flower",
            f"--address={address}",
            f"--port={port}",
        ),
        environment={"FLOWER_BASIC_AUTH": auth},
    )


def events_command(fleet: Fleet, *, dump: bool) -> Command:
    """Return the command line of Celery's own event viewer: a screen, or with `dump` plain lines."""
    return Command(argv=(*CELERY, "-A", fleet.app, "events", *(["--dump"] if dump else [])))


def _worker(
    fleet: Fleet,
    *,
    queues: list[str],
    hostname: str,
    concurrency: int,
    time_limit_seconds: int,
    soft_time_limit_seconds: int,
    max_tasks_per_child: int,
    prefetch_multiplier: int,
    log_level: str,
    more: Iterable[str] = (),
    nice: int = 0,
) -> Command:
    return Command(
        argv=(
            *([NICE, "-n", str(nice)] if nice else []),
            *CELERY,
            "-A",
            fleet.app,
            "worker",
            f"--queues={','.join(queues)}",
            f"--hostname={hostname}",
            f"--concurrency={concurrency}",
            *more,
            f"--prefetch-multiplier={prefetch_multiplier}",
            f"--max-tasks-per-child={max_tasks_per_child}",
            f"--time-limit={time_limit_seconds}",
            f"--soft-time-limit={soft_time_limit_seconds}",
            "--without-gossip",
            "--without-mingle",
            f"--heartbeat-interval={HEARTBEAT_INTERVAL_SECONDS}",
            f"--loglevel={log_level}",
        )
    )
