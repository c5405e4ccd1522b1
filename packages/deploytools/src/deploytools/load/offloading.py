"""A load session that leaves the slow work to a process of its own, so that scheduled tasks are sent on time.

That process (`deploytools.load.offloaded`) makes the arguments of scheduled tasks ahead of time, and sends to the tiers
that the profile saturates. It tells of each of its tasks, so this session's account covers all of them.
"""

import gc
import logging
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from random import Random
from threading import Event
from typing import Any

from deploytools.errors import WorkloadError
from deploytools.fleet import Tier
from deploytools.load.profile import Saturate
from deploytools.load.samples import Sample
from deploytools.load.session import LoadSession
from deploytools.load.workload import Call, Workload
from deploytools.project import Project
from deploytools.settings import environment_with

logger = logging.getLogger(__name__)

# It imports the application and prepares the workload first, which takes 2 to 20 s on a busy machine.
PREPARED_DEADLINE_SECONDS = 120.0
END_DEADLINE_SECONDS = 10.0
# Calls made before the first task is sent, for each tier: at 3 ms a call, within two seconds. A longer run makes more
# while it sends, as soon as fewer are ready than these seconds need.
MAX_AHEAD = 500
KEPT_SECONDS = 5.0


class PublishError(Exception):
    """The other process could not publish a task."""


@dataclass(kw_only=True)
class OffloadingSession(LoadSession):
    """Sends scheduled tasks itself. `synthetic_seconds` and `times` are the options of a load run.

    `seconds`: how long it is expected to send. `failure` says why the account is incomplete: the other process ended
    too early.
    """

    project: Project
    seconds: float
    workload: Workload = field(default_factory=lambda: Workload(offers=()))
    synthetic_seconds: float = 0.0
    times: float = 1.0
    failure: str | None = None
    _process: Any = None
    _ready: dict[str, SimpleQueue[Call | None]] = field(default_factory=dict)
    _prepared: Event = field(default_factory=Event)
    _stopped: Event = field(default_factory=Event)
    _ended: Event = field(default_factory=Event)

    def prepare(self) -> None:
        """Start the process, and wait until the first arguments are made; raise WorkloadError."""
        argv = [sys.executable, "-m", "deploytools.load.offloaded", self.profile.name, str(self.times)]
        self._process = subprocess.Popen(
            [*argv, str(self.synthetic_seconds)],
            stdin=subprocess.PIPE,  # it ends when this pipe closes, also when this process is killed
            stdout=subprocess.PIPE,
            cwd=self.project.root,
            env=environment_with(DEPLOYTOOLS_STATE=str(self.project.state)),
        )
        self._spawn(self._listen_to_process)
        for tier in self.fleet:
            self._ready[tier.name] = SimpleQueue()
            for _ in range(min(MAX_AHEAD, self._expect(tier, self.seconds))):
                self._order("make", tier.name)
        self._order("prepared")
        if not self._prepared.wait(PREPARED_DEADLINE_SECONDS) or self.failure:
            raise WorkloadError(f"{self.failure or 'the workload is not prepared in time'}: see the log above")

    def start(self) -> None:
        """Prepare unless that is done, and listen for reports."""
        if self._process is None:
            self.prepare()
        super().start()
        # A full collection looks at everything the application imported: tasks were sent 300 to 600 ms late meanwhile.
        gc.collect()
        gc.freeze()

    def stop_sending(self) -> None:
        """Send no more, in both processes."""
        super().stop_sending()
        self._order("stop")

    def drain(self, abandoned: Event | None = None) -> None:
        """Wait until every accepted task of both processes was heard of; end the other process."""
        self.stop_sending()
        self._stopped.wait(END_DEADLINE_SECONDS)
        super().drain(abandoned)

    def _end(self) -> None:
        self._order("end")
        if self._process and not self._ended.wait(END_DEADLINE_SECONDS):
            self._process.kill()
        super()._end()

    def _expect(self, tier: Tier, seconds: float) -> int:
        """Return how many scheduled tasks to expect in some seconds."""
        shape = self.profile.shape(self.fleet, tier)
        return 0 if isinstance(shape, Saturate) else shape.count(seconds)

    def _calls(self, tier: Tier, _: Random) -> Iterator[Call]:
        ready = self._ready[tier.name]
        while call := ready.get():
            if ready.qsize() < self._expect(tier, KEPT_SECONDS):
                self._order("make", tier.name)
            yield call

    def _saturate(self, tier: Tier, *_: object) -> None:
        self._order("saturate", tier.name)

    def _order(self, *words: str) -> None:
        if self._process is None:
            return
        with suppress(OSError, ValueError):  # it has ended: its listener says so
            self._process.stdin.write(" ".join(words).encode() + b"\n")
            self._process.stdin.flush()

    def _listen_to_process(self) -> None:
        with suppress(EOFError, pickle.UnpicklingError, OSError):
            while not self._ended.is_set():
                self._hear_process(*pickle.load(self._process.stdout))  # noqa: S301 — our own process wrote it
        if not self._ended.is_set():
            self._fail(self._process.wait())
        for event in (self._prepared, self._stopped, self._ended):
            event.set()

    def _hear_process(self, kind: str, told: Any) -> None:
        match kind:
            case "made":
                self._ready[told[0]].put(told[1])
            case "published" | "refused":
                self._hear_publish(*told)
            case "heard":
                self.account.adopt(told)
                self.on_report(told)
            case "prepared":
                self._prepared.set()
            case "stopped":
                self._stopped.set()
            case "ended":
                self.account.duplicates += told
                self._ended.set()

    def _hear_publish(self, sample: Sample, error: str | None) -> None:
        self.account.adopt(sample)
        if error is not None:
            self.account.refuse(sample.id)
        self.on_publish(sample, None if error is None else PublishError(error))

    def _fail(self, code: int) -> None:
        saturated = [tier.name for tier in self.fleet if isinstance(self.profile.shape(self.fleet, tier), Saturate)]
        unknown = self.account.forget_unheard(saturated)
        self.failure = (
            f"the process that prepares and saturates ended with {code}, and {unknown} tasks of "
            f"{', '.join(saturated) or 'no tier'} are unaccounted for"
        )
        logger.error("%s", self.failure)
        self._sending_over.set()
        for queue in self._ready.values():
            queue.put(None)
