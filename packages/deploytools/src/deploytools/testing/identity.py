"""Names of processes. An id alone is not enough: on a busy host another program has it minutes later."""

import psutil

CLOCK_STEP_SECONDS = 5  # the time a process began at is told by a clock that may be set


def identify(pid: int) -> str:
    """Return a name that no later process of the same id has."""
    return f"{pid}-{psutil.Process(pid).create_time():.2f}"


def find_process(name: str) -> psutil.Process | None:
    """Return the process of a name, which may be a zombie; None after its end."""
    pid, _, started = name.partition("-")
    try:
        process = psutil.Process(int(pid))
        is_same = abs(process.create_time() - float(started)) < CLOCK_STEP_SECONDS
    except (psutil.NoSuchProcess, ValueError):
        return None
    return process if is_same else None


def is_alive(name: str) -> bool:
    """Say whether the process of a name runs."""
    try:
        process = find_process(name)
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
