"""Docker's command line, for one project of `docker compose`."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploytools.errors import VerdictError
from deploytools.settings import environment_with


@dataclass(frozen=True, kw_only=True, slots=True)
class Docker:
    """Runs `docker` and `docker compose`; a failure is a VerdictError that has their last word.

    `project`: the options that say which project, after `docker compose`; `variables`: for the compose file.
    """

    project: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def compose(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker compose` on the project; return what it prints."""
        return self.docker("compose", *self.project, *words, stdin=stdin)

    def docker(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker`; return what it prints."""
        return self._run(words, stdin).stdout

    def last_word(self, container: str) -> str:
        """Return the last line of a container's log, or ''."""
        done = self._run(("logs", "--tail", "1", container), None)
        return (done.stderr or done.stdout).strip()

    def _run(self, words: tuple[str, ...], stdin: str | None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["/usr/bin/env", "docker", *words],
            env=environment_with(**self.variables),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no word of why"]
            raise VerdictError(f"docker {' '.join(words)}: exit code {done.returncode}: {said[-1]}")
        return done

    def containers(self, service: str = "") -> list[str]:
        """Return the ids of the project's containers, or of a service's."""
        return self.compose("ps", "--all", "--quiet", *([service] if service else [])).split()

    def inspect(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return what the engine knows of containers."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *ids))
        return found
