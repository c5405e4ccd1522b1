"""Run several programs in one terminal: prefixed coloured output, restart with backoff, a stop in three stages.

The output is honcho's. The rest is ours because what exists does not do it: honcho ends everything when one program
ends; circus neither backs off nor hurries on a second Ctrl-C, and cuts lines at 1 KiB; supervisord gives up on a
program after a number of tries and does not prefix.

Stages: the first signal asks programs to end (SIGTERM: Celery finishes what it runs and gives the rest back); the
second hurries them (SIGQUIT: Celery gives back what it runs, too); the third, or the end of the grace period, kills.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from deploytools.launch import child_environment
from deploytools.project import Project
from deploytools.services import Service
from deploytools.supervised import supervised

FIRST_RESTART_SECONDS = 0.2
MAX_RESTART_SECONDS = 30.0
# A program that ran this long had started well: its next restart waits the shortest time again.
STEADY_SECONDS = 10.0
MAX_LINE_BYTES = 1024 * 1024
CHECK_SECONDS = 0.5
LAST_LINES_SECONDS = 1.0
POLL_SECONDS = 0.05


def restart_delay_seconds(quick_ends: int) -> float:
    """Return how long to wait before a restart, after so many runs in a row that ended soon after their start."""
    return min(FIRST_RESTART_SECONDS * 2.0 ** min(quick_ends, 32), MAX_RESTART_SECONDS)  # no float is 2**1024


@dataclass(kw_only=True)
class Supervisor:
    """Keeps services running until it is told to stop. `check` runs every half second in a thread of its own."""

    services: Sequence[Service]
    project: Project
    output: TextIO = sys.stdout
    check: Callable[[], object] | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _signals: int = field(default=0, init=False)
    _running: dict[str, Process] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        width = max(len(service.name) for service in self.services)
        self._printer = Printer(self.output, width=max(width, len("system")))

    async def run(self) -> None:
        """Start all services; return when all have ended after a stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            async with asyncio.TaskGroup() as group:
                for service, colour in zip(self.services, get_colours(), strict=False):
                    group.create_task(self._keep(service, colour))
                if self.check:
                    group.create_task(self._keep_checking(self.check))
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Stop gently; called again, hurry; called a third time, kill."""
        self._signals += 1
        self._stopping.set()
        match self._signals:
            case 1:
                self._say("stopping: tasks that run may finish, the rest goes back; Ctrl-C again to hurry")
            case 2:
                self._say("hurrying: tasks that run go back too")
            case _:
                self._say("killing")
        for service in self.services:
            self._signal(service)

    async def _keep(self, service: Service, colour: str) -> None:
        quick_ends = 0
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            started_at = clock()
            try:
                code: object = await self._run_once(service, colour)
            except OSError as error:  # no memory, no process free: there may be later
                code = error
            if self._stopping.is_set():
                return
            quick_ends = 0 if clock() - started_at > STEADY_SECONDS else quick_ends + 1
            delay_seconds = restart_delay_seconds(quick_ends - 1 if quick_ends else 0)
            self._say(f"{service.name} ended with {code}; again in {delay_seconds:g} s")
            await self._pause(delay_seconds)

    async def _run_once(self, service: Service, colour: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *service.command.argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=self.project.root,
            env=child_environment(service.command, self.project) | supervised(),
            process_group=0,  # a Ctrl-C in the terminal is for us; we pass on what it means
            limit=MAX_LINE_BYTES,
        )
        self._running[service.name] = process
        if self._signals:  # told to stop while it was being started
            self._signal(service)
        self._say(f"{service.name} started, pid {process.pid}: {service.command}")
        printing = asyncio.create_task(self._print_lines(service.name, colour, process))
        try:
            return await self._end_of(service, process)
        except BaseException:
            process.terminate()  # nobody will look after it any more
            raise
        finally:
            del self._running[service.name]
            # What it started may hold its output open: that is not waited for.
            await asyncio.wait({printing}, timeout=LAST_LINES_SECONDS)
            printing.cancel()

    async def _end_of(self, service: Service, process: Process) -> int:
        """Wait for the end of a process; once we are stopping, for its grace period at most."""
        ended = asyncio.create_task(_exit_code(process))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await asyncio.wait({ended}, timeout=service.grace_seconds)
        if not ended.done():
            self._say(f"{service.name} is still running after its {service.grace_seconds:g} s of grace: killed")
            process.kill()
        return await ended

    def _signal(self, service: Service) -> None:
        process = self._running.get(service.name)
        if process is None or process.returncode is not None:
            return
        stages = (signal.SIGTERM, service.cold_shutdown_signal, signal.SIGKILL)
        process.send_signal(stages[min(self._signals, len(stages)) - 1])

    async def _keep_checking(self, check: Callable[[], object]) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(check)
            except Exception as error:  # noqa: BLE001 — whatever it was, the next check may succeed
                self._say(f"check failed: {error}")
            await self._pause(CHECK_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _print_lines(self, name: str, colour: str, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 — it was opened as a pipe above
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit: asyncio has dropped it
                line = b"(a line longer than 1 MiB was left out)\n"
            if not line:
                return
            self._print(name, colour, line.decode("utf-8", "replace").rstrip("\n"))

    def _say(self, text: str) -> None:
        self._print("system", None, text)

    def _print(self, name: str, colour: str | None, text: str) -> None:
        now = datetime.now().astimezone()
        self._printer.write(Message(type="line", data=text or " ", time=now, name=name, colour=colour))


async def _exit_code(process: Process) -> int:
    # Not `process.wait()`: that returns only when everybody who has its output open has ended, too.
    while process.returncode is None:
        await asyncio.sleep(POLL_SECONDS)
    return process.returncode
