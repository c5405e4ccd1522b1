"""How pytest ends early: with its fixtures torn down, and not without its test processes or after its launcher."""

import signal
from collections.abc import Container

import psutil

from deploytools.supervised import end_with_parent, end_with_supervisor


def heed_signals() -> None:
    """Let SIGTERM and Ctrl-C end this process with its fixtures torn down.

    One in the background of a script ignores Ctrl-C, and so would all that tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt_once)


def _interrupt_once(number: int, _: object) -> None:
    signal.signal(number, lambda *_: None)  # where a group is signalled, `uv run` sends a second one
    raise KeyboardInterrupt(signal.Signals(number).name)  # pytest shows it


def end_with_launcher(*, is_test_process: bool) -> None:
    """End with `uv run` and with what set DEPLOYTOOLS_SUPERVISED (nox); test processes of pytest-xdist with pytest."""
    parent = psutil.Process().parent()
    if parent and (is_test_process or parent.name() == "uv"):
        end_with_parent(parent.pid)
    end_with_supervisor()


def interrupt_test_processes(pids: Container[int]) -> None:
    """Interrupt the test processes of pytest-xdist at once, which gives their tests five seconds to end first."""
    for child in psutil.Process().children():
        if child.pid in pids:
            child.terminate()
