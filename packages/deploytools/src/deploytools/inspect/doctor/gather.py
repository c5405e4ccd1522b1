"""Gather the evidence: read the application, ask the broker and the workers once, look at this host's processes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from deploytools.app import import_app, load_app
from deploytools.fleet import Fleet
from deploytools.inspect.doctor.application import read_app
from deploytools.inspect.doctor.argv import parse_command
from deploytools.inspect.doctor.evidence import CommandLine, Evidence
from deploytools.inspect.doctor.host import find_commands, pidfile_holder
from deploytools.inspect.doctor.live import Live, ask_broker
from deploytools.project import Project
from deploytools.settings import current_environment, current_project_if_any


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """The evidence, and the project's root, where pyproject.toml is."""

    evidence: Evidence
    root: Path


def gather(*, app_name: str, lines: Sequence[str]) -> Gathered:
    """Gather what there is. Command lines that are given stand in for the processes of this host."""
    project = current_project_if_any()
    fleet = project.fleet() if project else None
    root = project.root if project else Path.cwd()
    app = _find_app(app_name, project, fleet, root)
    fleet = getattr(app, "fleet", None) or (fleet if not app_name else None)
    name = app_name or (fleet.app if fleet else "")
    facts = read_app(app, name) if app else None
    found = project or Project(root=root, fleet_path=root / "fleet.toml", state=root / ".deploytools")
    written = tuple(_written(line, number) for number, line in enumerate(lines, 1))
    commands = written or (find_commands(name, found, current_environment()) if name else ())
    live = ask_broker(app, facts, fleet) if app and facts else Live()
    evidence = Evidence(
        fleet=fleet, app=facts, commands=commands or None, **{name: getattr(live, name) for name in Live.__slots__}
    )
    return Gathered(evidence=evidence, root=root)


def _find_app(name: str, project: Project | None, fleet: Fleet | None, root: Path) -> Celery | None:
    if name:
        return import_app(root, name, named_by="-A")
    return load_app(project, fleet) if project and fleet else None


def _written(line: str, number: int) -> CommandLine:
    command = parse_command(line, f"command {number}")
    return dataclasses.replace(command, pidfile_holder=pidfile_holder(command.options.get("pidfile")))
