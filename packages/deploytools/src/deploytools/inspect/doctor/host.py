"""Find the Celery processes of this user on this host that belong to a project."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from deploytools.inspect.doctor.argv import SHELLS, celery_starts, parse_argv
from deploytools.inspect.doctor.evidence import CommandLine
from deploytools.project import Project

# Variables that make two processes of the same code belong to different fleets.
APART = ("CELERY_BROKER_URL",)


def find_commands(app_name: str, project: Project, environment: dict[str, str]) -> tuple[CommandLine, ...]:
    """Return the command lines of the application's processes; a pool's children are not programs of their own.

    They run as we do, name the same module by -A, and have the same broker and state as this process.
    """
    return tuple(_commands(app_name.partition(":")[0], project, environment))


def _commands(module: str, project: Project, environment: dict[str, str]) -> Iterator[CommandLine]:
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if celery_starts(words) is None or process.uids().real != os.getuid():
                continue
            parent = process.parent()
            if parent is not None and parent.cmdline() == words:
                continue
            own = process.environ()
            if not _belongs(own, process.cwd(), project, environment):
                continue
            line = _command_line(process, words, own, parent)
        except psutil.Error:
            continue  # it ended, or is not ours to look at
        if str(line.options.get("app", "")).partition(":")[0] == module:
            yield line


def _belongs(own: dict[str, str], folder: str, project: Project, environment: dict[str, str]) -> bool:
    state = own.get("DEPLOYTOOLS_STATE")
    same_state = Path(folder, state) == project.state if state else Path(folder) == project.root
    return same_state and all(own.get(name) == environment.get(name) for name in APART)


def _command_line(
    process: psutil.Process, words: list[str], environment: dict[str, str], parent: psutil.Process | None
) -> CommandLine:
    above = parent.cmdline() if parent else []
    known: dict[str, Any] = {
        "environment": frozenset(environment),
        "is_root": process.uids().effective == 0,
        "shell": " ".join(above) if _is_script(above) else None,
    }
    line = parse_argv(words, f"{process.pid}", **known)
    known["pidfile_holder"] = pidfile_holder(line.options.get("pidfile"), process)
    return parse_argv(words, f"{line.program or 'celery'} process {process.pid}", **known)


def _is_script(words: list[str]) -> bool:
    """Say whether a shell runs a script, or `-c`: an interactive one has no arguments of that kind."""
    return bool(words) and Path(words[0]).name in SHELLS and len(words) > 1 and not words[1].startswith(("-i", "-l"))


def pidfile_holder(path: str | None, process: psutil.Process | None = None) -> str | None:
    """Return the name of the living process that a pid file names, unless it is Celery, or `process` itself."""
    try:
        holder = psutil.Process(int(Path(path or "").read_text(encoding="ascii")))
        is_celery = celery_starts(holder.cmdline()) is not None
    except (OSError, ValueError, psutil.Error):
        return None
    return None if is_celery or holder == process else f"{holder.name()} ({holder.pid})"
