"""Real processes with captured output. They end with the test, however the test or its process ends."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploytools.testing.identity import identify
from deploytools.testing.leftovers import kill_session
from deploytools.testing.reaper import Kind, forget, watch
from deploytools.testing.waiting import DEADLINE_SECONDS, wait_until

STOP_DEADLINE_SECONDS = 30.0


class EndedError(Exception):
    """A process ended although something was still expected of it."""


@dataclass(frozen=True)
class Running:
    """A started process, its children and its log (stdout and stderr together)."""

    process: subprocess.Popen[bytes]
    log_path: Path
    name: str  # see `deploytools.testing.identity`

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def log(self) -> str:
        """Return what it has printed so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str, *, times: int = 1, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until it has printed a text so many times; fail with the end of its log if it ends before."""

        def printed() -> bool:
            if self.log().count(text) >= times:
                return True
            if self.process.poll() is not None and self.log().count(text) < times:
                raise EndedError(f"it ended with {self.process.returncode} before {text!r}: …{self.log()[-2000:]}")
            return False

        wait_until(printed, f"{text!r} in {self.log_path}", deadline_seconds=deadline_seconds)

    def children(self) -> list[psutil.Process]:
        """Return its child processes, theirs included."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send it, not its children, a signal."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Do what Ctrl-C in a terminal does, if it runs: signal it and all its children."""
        if self.process.poll() is None:  # else another program's group may have this number
            os.killpg(self.pid, signal.SIGINT)

    def wait(self, *, deadline_seconds: float = STOP_DEADLINE_SECONDS) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(deadline_seconds)

    def stop(self) -> int:
        """Ask it to end, and wait; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill_all(self) -> None:
        """Kill it and all processes of its session or process group."""
        kill_session(self.name)
        self.process.wait(STOP_DEADLINE_SECONDS)


@contextmanager
def running(
    argv: Sequence[str],
    *,
    log_path: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    own_session: bool = True,
) -> Iterator[Running]:
    """Start a program; at the end kill what is left of it.

    Without `own_session` it shares CPUs by its `nice` with the others of this session, as the workers of `up` do.
    """
    with (
        log_path.open("wb") as log,
        started(argv, own_session=own_session, stdout=log, stderr=subprocess.STDOUT, cwd=cwd, env=env) as process,
    ):
        yield Running(process, log_path, identify(process.pid))


@contextmanager
def started(argv: Sequence[str], *, own_session: bool = True, **options: Any) -> "Iterator[subprocess.Popen[Any]]":
    """Start a program in a session, or only a process group, of its own, with more options of `Popen`.

    It is killed with all processes of that session or group at the end of the block, or of this process.
    """
    process: subprocess.Popen[Any] = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        start_new_session=own_session,
        process_group=None if own_session else 0,
        **options,
    )
    name = identify(process.pid)
    watch(Kind.SESSION, name)
    try:
        yield process
    finally:
        kill_session(name)
        process.wait(STOP_DEADLINE_SECONDS)
        forget(Kind.SESSION, name)
