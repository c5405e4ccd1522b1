"""A project folder under test: its commands run for real, with a state folder and a broker of the test's own."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.testing.processes import Running, running, started
from deploytools.testing.reaper import Kind, forget, watch

COMMAND_DEADLINE_SECONDS = 110.0
LOG_END_CHARACTERS = 6000
# Variables that would make a test depend on who runs it.
OWN_PREFIXES = ("CELERY_", "DEPLOYTOOLS_", "APP_", "MAX_TASKS_PER_CHILD", "FLOWER_")


@dataclass
class ProjectUnderTest:
    """A project folder, and what is run in it. What was started ends with the `with` block."""

    root: Path
    state: Path
    logs: Path
    env: Mapping[str, str]
    program: tuple[str, ...]
    _started: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "ProjectUnderTest":
        self.logs.mkdir(parents=True, exist_ok=True)
        self._temporary_files.mkdir(exist_ok=True)
        watch(Kind.STATE, str(self.state))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.broker.stop()
        forget(Kind.STATE, str(self.state))

    def stop(self) -> None:
        """End what was started; the embedded broker stays."""
        self._started.close()

    @property
    def broker(self) -> EmbeddedBroker:
        """Its embedded broker."""
        return EmbeddedBroker(state=self.state)

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        environment, pipe = self._environment(env), subprocess.PIPE
        with started(argv, cwd=self.root, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
            stdout, stderr = process.communicate(timeout=COMMAND_DEADLINE_SECONDS)
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def command(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands (`queues`, `worker.high --dry`) to its end."""
        return self.run(*self.program, *words, **env)

    def snapshot(self) -> dict[str, Any]:
        """Return what `queues --json` says."""
        done = self.command("queues", "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue of the embedded broker."""
        return int(self.broker.client().llen(queue))

    def start(self, argv: Sequence[str], **env: str) -> Running:
        """Start a program that goes on until the test ends."""
        log_path = self.logs / f"{len(list(self.logs.iterdir()))}.log"
        program = running(argv, log_path=log_path, cwd=self.root, env=self._environment(env))
        return self._started.enter_context(program)

    def start_command(self, *words: str, **env: str) -> Running:
        """Start one of the project's commands, which goes on until the test ends."""
        return self.start([*self.program, *words], **env)

    def log_ends(self) -> list[tuple[str, str]]:
        """Return (name, end of its log), for each program that was started."""
        logs = sorted(self.logs.glob("*.log"))
        return [(f"log {log.stem}", log.read_text(errors="replace")[-LOG_END_CHARACTERS:]) for log in logs]

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in self.env.items() if not name.startswith(OWN_PREFIXES)}
        own = {"DEPLOYTOOLS_STATE": str(self.state), "TMPDIR": str(self._temporary_files)}
        return inherited | own | dict(more)

    @property
    def _temporary_files(self) -> Path:
        return self.logs.parent / "tmp"  # a worker that is killed leaves some
