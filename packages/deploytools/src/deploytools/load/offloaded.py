"""Make arguments ahead of time, and saturate tiers, for a load session: `python -m deploytools.load.offloaded`.

Orders come as lines on stdin: `make TIER`, `saturate TIER`, `prepared`, `stop`, `end`. Answers go to stdout, pickled:
(kind, what). The process ends when stdin closes, so it never outlives the session, however that ends.
"""

import fcntl
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from random import Random
from threading import Event, Lock, Thread
from typing import Any, BinaryIO
from zlib import crc32

from deploytools.app import load_app
from deploytools.fleet import Fleet
from deploytools.load.profile import PROFILES
from deploytools.load.samples import Sample
from deploytools.load.session import LoadSession
from deploytools.load.workload import Call, Workload, choose_workload
from deploytools.project import Project
from deploytools.settings import current_project

# As far behind the sender of the scheduled tasks as ordinary tiers are behind the one with the tightest promise.
NICE = 5


class Offloaded:
    """Follows orders with a session that knows the saturated tiers only; tells `answers` what it does."""

    def __init__(self, session: LoadSession, answers: BinaryIO) -> None:
        self._session, self._answers = session, answers
        self._lock, self._senders = Lock(), list[Thread]()
        self._calls: dict[str, Iterator[Call]] = {}
        session.on_publish, session.on_report = self._tell_publish, self._tell_report

    def follow(self, orders: Iterable[str]) -> bool:
        """Follow orders up to `end`; return whether that came."""
        for line in orders:
            order, _, tier = line.rstrip("\n").partition(" ")
            match order:
                case "make":
                    self._tell("made", (tier, self._make_call(tier)))
                case "saturate":
                    self._start_sending(tier)
                case "prepared":
                    self._tell("prepared", None)
                case "stop":
                    self._stop_sending()
                case "end":
                    self._end()
                    return True
        return False

    def _make_call(self, tier: str) -> Call | None:
        if tier not in self._calls:
            session, random = self._session, Random(crc32(tier.encode()))  # noqa: S311 — reproducible on purpose
            self._calls[tier] = session.workload.calls(session.fleet, session.fleet.tier(tier), random)
        return next(self._calls[tier], None)

    def _start_sending(self, tier: str) -> None:
        arguments = (self._session.fleet.tier(tier),)
        sender = Thread(target=self._session.offer, args=arguments, kwargs={"seed": crc32(tier.encode())}, daemon=True)
        sender.start()
        self._senders.append(sender)

    def _stop_sending(self) -> None:
        self._session.stop_sending()
        for sender in self._senders:
            sender.join()
        self._tell("stopped", None)

    def _end(self) -> None:
        heard_all = Event()
        heard_all.set()
        self._session.drain(heard_all)
        self._tell("ended", self._session.account.duplicates)

    def _tell_publish(self, sample: Sample, error: BaseException | None) -> None:
        if error:
            self._tell("refused", (sample, str(error)))
        else:
            self._tell("published", lambda: (self._newest(sample), None))

    def _tell_report(self, sample: Sample) -> None:
        self._tell("heard", lambda: self._newest(sample))

    def _newest(self, sample: Sample) -> Sample:
        return self._session.account.samples.get(sample.id, sample)

    def _tell(self, kind: str, what: Any) -> None:
        # A sample is read under the lock: what was told last is what is known last.
        with self._lock:
            pickle.dump((kind, what() if callable(what) else what), self._answers)
            self._answers.flush()


def main() -> None:
    """Prepare the workload that the arguments name, and follow the orders on stdin."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the session's end is ours, and a terminal's Ctrl-C reaches us both
    threading.excepthook = _end_at_once
    os.nice(NICE)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the workload prints is no answer
    profile, times, synthetic_seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    project = current_project()
    fleet = project.fleet()
    session = LoadSession(
        app=load_app(project, fleet),
        fleet=fleet,
        profile=PROFILES[profile].times(times),
        workload=_prepare_workload(project, fleet, synthetic_seconds),
    )
    session.listen()
    is_ended = Offloaded(session, answers).follow(sys.stdin)
    os._exit(0 if is_ended else 1)  # threads may still wait for a broker that is gone


def _prepare_workload(project: Project, fleet: Fleet, synthetic_seconds: float) -> Workload:
    """Prepare the workload, while no other process of this load run does so on this host."""
    project.state.mkdir(parents=True, exist_ok=True)
    with (project.state / "workload.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return choose_workload(fleet, synthetic_seconds)


def _end_at_once(error: threading.ExceptHookArgs) -> None:
    traceback.print_exception(error.exc_value)
    os._exit(1)


if __name__ == "__main__":
    main()
