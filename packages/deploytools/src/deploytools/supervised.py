"""End with the process that started this one, however that ends: SIGKILL included (Linux only).

A supervisor puts its process id into the environment of what it starts: `supervised()`. What it starts calls
`end_with_supervisor()` first.
"""

import ctypes
import os
import signal
import sys

VARIABLE = "DEPLOYTOOLS_SUPERVISED"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def supervised() -> dict[str, str]:
    """Return the variable that makes a child end with this process."""
    return {VARIABLE: str(os.getpid())}


def end_with_supervisor(number: signal.Signals = signal.SIGTERM) -> None:
    """Have a signal sent to this process when the supervisor that the environment names ends."""
    # Not for grandchildren: a task that starts a program of its own is that program's business.
    supervisor = os.environ.pop(VARIABLE, "")
    if supervisor.isdigit():
        end_with_parent(int(supervisor), number)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have a signal sent to this process when its parent ends, and now if it has ended already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before the kernel knew of the signal
        os.kill(os.getpid(), number)
