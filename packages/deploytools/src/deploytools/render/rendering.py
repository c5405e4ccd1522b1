"""What is rendered: texts with their places, written or compared. The comparison is what `render.check` fails on."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from deploytools.fleet import Fleet


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What renderings are made of. `fleet_path`: the fleet file, as its header names it, relative to the project."""

    fleet: Fleet
    fleet_path: Path

    def origin(self, command: str) -> str:
        """Return the line that tells where a file came from."""
        return f"Rendered from {self.fleet_path.as_posix()} by `invoke {command}`: change the fleet file, not this one."


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """A file: its place below the project's root, and its text."""

    path: Path
    text: str


def write(renderings: Iterable[Rendering], root: Path) -> list[Path]:
    """Write files below `root`, each whole or not at all; return those that changed."""
    changed = []
    for each in renderings:
        target = root / each.path
        if _read(target) == each.text:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.write_text(each.text, encoding="utf-8")
        part.replace(target)
        changed.append(each.path)
    return changed


def drift(renderings: Iterable[Rendering], root: Path) -> str:
    """Return a unified diff from the files below `root` to what they should be; empty where they agree."""
    return "".join(
        line
        for each in renderings
        for line in unified_diff(
            (_read(root / each.path) or "").splitlines(keepends=True),
            each.text.splitlines(keepends=True),
            fromfile=f"{each.path} (as it is)",
            tofile=f"{each.path} (as the fleet file has it)",
        )
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
