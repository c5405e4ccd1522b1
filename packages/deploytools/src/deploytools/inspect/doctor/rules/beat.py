"""The schedule, and who sends it."""

from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import Commands, flag, given

HOUR_SECONDS = 3600.0
# Schedulers of which several may run: one leads.
LEADING = ("deploytools.beat.scheduler:Scheduler", "redbeat.RedBeatScheduler", "redbeat.schedulers:RedBeatScheduler")


@rule(
    Severity.ERROR,
    consequence="Every periodic task is sent once by each of them.",
    fix="One of them, or a scheduler with a leader: `deploytools beat`. A pid file guards one host only.",
    source="celery#2856, celery#1495",
)
def several_beats(commands: Commands, app: AppFacts | None = None) -> Occurrences:
    """More than one process sends the schedule."""
    configured = app.conf["beat_scheduler"] if app else ""
    beats = [
        command
        for command in commands
        if command.has_beat and (command.options.get("scheduler") or configured) not in LEADING
    ]
    if len(beats) > 1:
        yield ", ".join(command.where for command in beats), f"{len(beats)} schedulers without a leader"


@rule(
    Severity.WARNING,
    consequence="Each worker started like this sends the schedule; a second replica doubles every periodic task.",
    fix="A process of its own: `deploytools beat`.",
    source="celery#6313",
)
def beat_inside_worker(commands: Commands) -> Occurrences:
    """A worker runs beat inside."""
    yield from given(commands, "beat")


@rule(
    Severity.WARNING,
    consequence="All projects of the host share /tmp, and a reboot empties it: what was sent when is forgotten.",
    fix="A folder of the project's (`--schedule=/var/lib/…`), or state in Redis: `deploytools beat`.",
    source="celery/beat.py:566-688",
)
def schedule_in_tmp(commands: Commands) -> Occurrences:
    """Beat keeps its state in /tmp."""
    for command in commands:
        for option in ("schedule", "schedule_filename"):
            path = str(command.options.get(option) or "")
            if path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 — looked for, not used
                yield command.where, flag(option, path)


@rule(
    Severity.NOTE,
    consequence="It keeps a second beat off this host only, and whoever removes it to start one has two.",
    fix="`--pidfile=` and a scheduler with a leader: `deploytools beat`.",
    source="celery/platforms.py:192-222",
)
def pidfile_guards_one_host(commands: Commands) -> Occurrences:
    """A pid file is what keeps beat single."""
    for command in commands:
        if command.has_beat and command.options.get("pidfile"):
            yield command.where, flag("pidfile", command.options["pidfile"])


@rule(
    Severity.WARNING,
    consequence="While no worker runs they pile up; when one is back it runs all of them.",
    fix="`'options': {'expires': <the interval>}`.",
    source="docs/explanation-beat.md",
)
def periodic_task_never_expires(app: AppFacts) -> Occurrences:
    """A task that is sent more often than hourly never expires."""
    for entry in app.entries:
        if entry.every_seconds is not None and entry.every_seconds < HOUR_SECONDS and not entry.expires:
            yield f"beat_schedule {entry.name}", f"every {entry.every_seconds:g} s, no expires"


@rule(
    Severity.ERROR,
    consequence="It is sent on time, and thrown away by the worker that gets it.",
    fix="Correct the name, or import the module that has the task (`include`, `imports`).",
    source="celery/worker/consumer/consumer.py:752-783",
)
def periodic_task_unknown(app: AppFacts) -> Occurrences:
    """The schedule sends a task that is not registered."""
    for entry in app.entries:
        if entry.task not in app.tasks:
            yield f"beat_schedule {entry.name}", entry.task


@rule(
    Severity.ERROR,
    consequence="It is sent where no worker consumes, or beat fails with QueueNotFound.",
    fix="Correct the queue, or leave it to the routes.",
    source="run",
)
def periodic_task_to_undeclared_queue(app: AppFacts) -> Occurrences:
    """The schedule names a queue that is not declared."""
    for entry in app.entries:
        if entry.queue and app.queues and entry.queue not in app.queue_names:
            yield f"beat_schedule {entry.name}", entry.queue
