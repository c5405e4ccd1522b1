"""Remove what a test process started after it has ended, SIGKILL included.

`python -m deploytools.testing.reaper`: only the test process has the other end of the pipe that is stdin here. It
writes into it what it starts and stops, and the kernel closes it when that process ends.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from functools import cache

POLL_SECONDS = 0.01


class Kind(StrEnum):
    """What can be left, in the order of its removal."""

    SESSION = "session"  # processes, by the name (`identity`) of the leader of their session or group
    STATE = "state"  # a state folder, where embedded brokers may run
    COMPOSE = "compose"  # a project of `docker compose`, by name
    RUN = "run"  # a run of pytest: its session, and the folder that its processes share


def watch(kind: Kind, *what: str) -> None:
    """Have something removed after this process has ended."""
    _tell("add", kind, what)


def forget(kind: Kind, *what: str) -> None:
    """Say that something has been removed."""
    _tell("discard", kind, what)


def _tell(verb: str, kind: Kind, what: tuple[str, ...]) -> None:
    pipe = _start_reaper().stdin
    assert pipe is not None
    pipe.write(json.dumps([verb, kind, *what]).encode() + b"\n")


@cache  # holds the pipe open until this process ends
def _start_reaper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "deploytools.testing.reaper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    )


def main() -> None:
    """Read what the test process starts and stops; after it has ended remove what is left."""
    test_process, watched = os.getppid(), set[tuple[str, ...]]()
    for line in sys.stdin.buffer:
        verb, *what = json.loads(line)
        (watched.add if verb == "add" else watched.discard)(tuple(what))
    while os.getppid() == test_process:  # its pipes close a moment before it is gone
        time.sleep(POLL_SECONDS)
    remove_all(watched)


def remove_all(watched: Iterable[tuple[str, ...]]) -> None:
    """Remove what is left of each; a failure does not keep the others from being removed."""
    from deploytools.testing import leftovers  # imported when it is needed: saves 20 MiB while tests run

    remove: dict[Kind, Callable[..., None]] = {
        Kind.SESSION: leftovers.kill_session,
        Kind.STATE: leftovers.stop_brokers,
        Kind.COMPOSE: leftovers.remove_compose_project,
        Kind.RUN: leftovers.remove_run,
    }
    for kind in Kind:
        for what in [values for name, *values in watched if name == kind]:
            with suppress(Exception):
                remove[kind](*what)


if __name__ == "__main__":
    main()
