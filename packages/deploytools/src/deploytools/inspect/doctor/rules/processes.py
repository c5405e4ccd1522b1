"""Celery processes and what surrounds them: shells, users, pid files, variables."""

from collections import Counter

from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import Commands, flag, workers_of

# Set by those who mean them.
MEANT = frozenset({"CELERY_APP", "FLOWER_BASIC_AUTH"})


@rule(
    Severity.WARNING,
    consequence="The shell gets the signal and Celery does not: a stop becomes a kill at the end of the grace period.",
    fix="Start Celery by `exec`, or without a shell.",
    source="run as PID 1 of a container",
)
def shell_swallows_signals(commands: Commands) -> Occurrences:
    """A shell stays between the process manager and Celery."""
    for command in commands:
        if command.shell:
            yield command.where, command.shell


@rule(
    Severity.NOTE,
    consequence="Whoever makes a task misbehave owns the machine, or the container.",
    fix="Start it as a user of its own.",
    source="celery/platforms.py:897-903 warns too",
)
def running_as_root(commands: Commands) -> Occurrences:
    """Celery runs as root."""
    for command in commands:
        if command.is_root:
            yield command.where, "user id 0"


@rule(
    Severity.ERROR,
    consequence="It does not start: Celery takes the process that has this number now for itself.",
    fix="Leave pid files to daemons of the last century: `--pidfile=` and a process manager.",
    source="celery/platforms.py:192-222",
)
def pidfile_blocks_start(commands: Commands) -> Occurrences:
    """The pid file names a living process that is not Celery."""
    for command in commands:
        if command.pidfile_holder:
            yield command.where, f"--pidfile={command.options['pidfile']}: {command.pidfile_holder}"


@rule(
    Severity.WARNING,
    consequence="Celery takes them for options, silently: what the command line does not say still holds.",
    fix="Rename the variable, or say it on the command line.",
    source="celery/bin/celery.py:232: auto_envvar_prefix",
)
def options_from_environment(commands: Commands) -> Occurrences:
    """Variables of the environment are options of the worker."""
    for command in workers_of(commands):
        for name in sorted(command.environment - MEANT):
            yield command.where, name


@rule(
    Severity.WARNING,
    consequence="Answers to `inspect` overwrite each other and Flower shows one worker: the rest is not seen.",
    fix="Give each a name: `--hostname=high-1@%h`.",
    source="celery/worker/consumer/mingle.py, celery/app/control.py: DuplicateNodenameWarning",
)
def node_name_shared(commands: Commands) -> Occurrences:
    """Several workers of one host have one name."""
    names = Counter(str(command.options.get("hostname", "celery@%h")) for command in workers_of(commands))
    for name, count in names.items():
        if count > 1:
            yield f"{count} workers", flag("hostname", name)
