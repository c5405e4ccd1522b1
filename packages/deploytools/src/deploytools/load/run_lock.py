"""One demo or load run at a time in a project: two would use the same state folder, fleet and CPUs."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploytools.errors import RunInProgressError


@contextmanager
def hold_run_lock(state: Path) -> Iterator[None]:
    """Hold a state folder's lock; raise RunInProgressError if another run does.

    The kernel releases the lock when its holder ends, even by SIGKILL. The file only tells who that is.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid, _, command = lock.read().partition(" ")
            raise RunInProgressError(
                f"{state}: another demo or load run is in progress (pid {pid}: {command}): "
                f"wait until it ends, or stop it: kill -INT {pid}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}")
        lock.flush()
        yield
