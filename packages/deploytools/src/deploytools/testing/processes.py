"""Real processes with captured output, ended at the end of the test whatever happens."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploytools.testing.waiting import DEADLINE_SECONDS, wait_until

STOP_DEADLINE_SECONDS = 30.0


class EndedError(Exception):
    """A process ended although something was still expected of it."""


@dataclass(frozen=True)
class Running:
    """A started process, its children and its log (stdout and stderr together)."""

    process: subprocess.Popen[bytes]
    log_path: Path

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
        """Do what Ctrl-C in a terminal does: signal it and all its children."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, *, deadline_seconds: float = STOP_DEADLINE_SECONDS) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(deadline_seconds)

    def stop(self) -> int:
        """Ask it to end, and wait; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill_all(self) -> None:
        """Kill it and everything below it; nothing is left of its process group."""
        below = self.children()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for child in below:
            with suppress(psutil.NoSuchProcess):
                child.kill()
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
    """Start a program in a process group of its own; at the end kill what is left of it.

    Without `own_session` it shares CPUs by its `nice` with the others of this session, as the workers of `up` do.
    """
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            process_group=None if own_session else 0,
            start_new_session=own_session,
        )
    started = Running(process, log_path)
    try:
        yield started
    finally:
        started.kill_all()
