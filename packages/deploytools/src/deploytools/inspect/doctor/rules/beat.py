"""The schedule, and who sends it."""

from pathlib import PurePath

from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.commands import Commands

SHARED_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 — named, not used
LEADING_SCHEDULERS = ("deploytools.beat.", "redbeat.")


@rule(
    Severity.ERROR,
    consequence="Every periodic task is sent once by each of them.",
    fix="Run one, or a scheduler of which one leads: `deploytools beat`.",
    source="celery#2856, celery#1495; the guide's `periodic tasks execute multiple times`",
)
def beats_side_by_side(commands: Commands) -> Signs:
    """Several beats send the schedule."""
    beats = [
        command
        for command in commands
        if command.has_beat and not str(command.options.get("scheduler", "")).startswith(LEADING_SCHEDULERS)
    ]
    if len(beats) > 1:
        yield ", ".join(command.where for command in beats), f"{len(beats)} without a common leader"


@rule(
    Severity.WARNING,
    consequence="Each further worker sends the schedule once more.",
    fix="Run beat as a program of its own.",
    source="celery#6313",
)
def beat_inside_worker(commands: Commands) -> Signs:
    """A worker is a beat as well."""
    for command in commands:
        if command.program == "worker" and command.has_beat:
            yield command.where, "-B"


@rule(
    Severity.WARNING,
    consequence="All projects of this host write it, and it is gone after a restart: runs are sent twice or missed.",
    fix="Name a file of its own (`CELERY_BEAT_SCHEDULE`), or keep the state in Redis (`deploytools beat`).",
    source="celery/beat.py:566-688; the guide's default",
)
def beat_state_in_tmp(commands: Commands) -> Signs:
    """Beat remembers what it sent in a temporary folder."""
    for command in commands:
        schedule = str(command.options.get("schedule") or "")
        if command.has_beat and schedule.startswith(SHARED_FOLDERS):
            yield command.where, f"--schedule={PurePath(schedule)}"


@rule(
    Severity.ERROR,
    consequence="Beat or worker does not start while that program lives; who removes the file starts two.",
    fix="Run it under a supervisor without a pid file (`--pidfile=`).",
    source="celery/platforms.py:192-222; the guide's `rm /tmp/celerybeat.pid`",
)
def pidfile_of_another(commands: Commands) -> Signs:
    """The pid file names a program that is not Celery."""
    for command in commands:
        if command.pidfile_holder:
            yield command.where, f"--pidfile={command.options.get('pidfile')}: {command.pidfile_holder}"


@rule(
    Severity.ERROR,
    consequence="Its messages are refused by every worker.",
    fix="Correct the name, or import the task's module.",
    source="celery/worker/consumer/consumer.py:752-783",
)
def entry_of_unknown_task(app: AppFacts) -> Signs:
    """The schedule names a task that does not exist."""
    for entry in app.entries:
        if entry.task not in app.tasks:
            yield entry.name, f"task {entry.task!r}"


@rule(
    Severity.WARNING,
    consequence="While no worker runs they pile up; then all of them run, one after the other.",
    fix="Add `'options': {'expires': …}`, not longer than until the next is due.",
    source="celery/beat.py: apply_entry passes options",
)
def entry_never_expires(app: AppFacts) -> Signs:
    """A frequent entry's tasks do not expire."""
    for entry in app.entries:
        if entry.every_seconds is not None and not entry.expires:
            yield entry.name, f"every {entry.every_seconds:g} s, no expires"


@rule(
    Severity.ERROR,
    consequence="Nobody gets what beat sends there.",
    fix="Correct the queue of the entry's options.",
    source="celery/app/amqp.py",
)
def entry_to_undeclared_queue(app: AppFacts) -> Signs:
    """The schedule names a queue that is not declared."""
    for entry in app.entries:
        if entry.queue and app.queues and entry.queue not in app.queue_names:
            yield entry.name, f"queue {entry.queue!r}"
