"""What rules about command lines share: which of them start workers, and what holds for one with its application."""

from collections.abc import Iterator
from typing import Any

from deploytools.inspect.doctor.evidence import AppFacts, CommandLine
from deploytools.inspect.doctor.rule import Occurrences

Commands = tuple[CommandLine, ...]


def workers_of(commands: Commands) -> Iterator[CommandLine]:
    """Yield the command lines that start workers, of those that Celery understands."""
    return (command for command in commands if command.program == "worker" and not command.refused)


def given(commands: Commands, option: str, *values: Any) -> Occurrences:
    """Yield the workers that are started with an option: one of the values, or with none named any true one."""
    for command in workers_of(commands):
        value = command.options.get(option)
        if value in values if values else value:
            yield command.where, flag(option, value)


def flag(option: str, value: Any) -> str:
    """Write an option as it stands on the command line."""
    name = f"--{option.replace('_', '-')}"
    return name if value is True else f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def multiplier(command: CommandLine, app: AppFacts) -> int:
    """Return the prefetch multiplier a worker gets; a 0 on the command line counts as none (Celery 5.7)."""
    return int(command.options.get("prefetch_multiplier") or app.conf["worker_prefetch_multiplier"])


def disables_prefetch(command: CommandLine, app: AppFacts) -> bool:
    """Say whether a worker takes only what it can run."""
    return bool(command.options.get("disable_prefetch") or app.conf.get("worker_disable_prefetch"))


def longest_limit_seconds(app: AppFacts, commands: Commands | None) -> float:
    """Return the longest hard time limit that any task may have; 0 where there is none."""
    limits = [command.options.get("time_limit") for command in workers_of(commands or ())]
    limits += [app.conf.get("task_time_limit"), *(task.time_limit_seconds for task in app.own_tasks.values())]
    return max((float(limit) for limit in limits if limit), default=0.0)


def early_tasks(app: AppFacts) -> list[str]:
    """Return the tasks that are acknowledged before they run."""
    return sorted(name for name, task in app.own_tasks.items() if not task.acks_late)


def counted(names: list[str]) -> str:
    """Write some names: the first three, and how many there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
