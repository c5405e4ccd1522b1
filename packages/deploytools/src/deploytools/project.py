"""Where a project is: its root, its fleet file, and the folder where running things keep their state."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploytools.errors import FleetFileError
from deploytools.fleet import Fleet, load_fleet


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A folder with a fleet. `state` holds what running commands share (embedded broker, beat schedule)."""

    root: Path
    fleet_path: Path
    state: Path

    @property
    def beat_schedule(self) -> Path:
        """Where beat remembers what it sent when; a file in /tmp would be shared by all projects of a host."""
        return self.state / "celerybeat-schedule"

    def fleet(self) -> Fleet:
        """Read the fleet file."""
        return load_fleet(self.fleet_path)


def find_project(environ: Mapping[str, str], start: Path, packaged_fleet: Path | None = None) -> Project:
    """Find the project around a folder.

    Its root is the nearest folder, from `start` upwards, whose pyproject.toml has `[tool.deploytools] fleet` or that
    holds a `fleet.toml`; this names the fleet file too. `DEPLOYTOOLS_FLEET` names another fleet file. An application
    that carries its fleet inside its package passes it as `packaged_fleet`, and works from any folder. State is kept in
    `.deploytools` below the root, or where `DEPLOYTOOLS_STATE` says. Raises FleetFileError where no fleet is found.
    """
    start = start.resolve()
    root, found = _find_root(start)
    named = environ.get("DEPLOYTOOLS_FLEET")
    fleet_path = start / named if named else packaged_fleet or found
    if fleet_path is None:
        raise FleetFileError(
            f"{start}: no fleet here: write fleet.toml, or set [tool.deploytools] fleet in pyproject.toml, "
            "or point DEPLOYTOOLS_FLEET at one"
        )
    state = environ.get("DEPLOYTOOLS_STATE")
    return Project(root=root, fleet_path=fleet_path, state=start / state if state else root / ".deploytools")


def has_fleet(environ: Mapping[str, str], start: Path) -> bool:
    """Say whether `find_project` would find a fleet file."""
    return bool(environ.get("DEPLOYTOOLS_FLEET") or _find_root(start.resolve())[1])


def code_folders(project: Project, fleet: Fleet) -> list[Path]:
    """Return the folders whose Python code the application is made of, without importing it."""
    spec = find_spec(fleet.app.partition(":")[0].partition(".")[0])
    if spec is None or spec.submodule_search_locations is None:
        return [project.root]
    return [Path(folder) for folder in spec.submodule_search_locations]


def _find_root(start: Path) -> tuple[Path, Path | None]:
    for folder in (start, *start.parents):
        if fleet := _declared_in_pyproject(folder / "pyproject.toml"):
            return folder, folder / fleet
        if (folder / "fleet.toml").is_file():
            return folder, folder / "fleet.toml"
    return start, None


def _declared_in_pyproject(path: Path) -> str | None:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FleetFileError(f"{path}: cannot be read ({error}): correct it") from None
    fleet = tables.get("tool", {}).get("deploytools", {}).get("fleet")
    if fleet is not None and not isinstance(fleet, str):
        raise FleetFileError(f"{path}: [tool.deploytools] fleet = {fleet!r}: expected a path in quotes")
    return fleet
