"""Break a fleet under load, again and again, and account for every task it accepted.

A run is made of faults, chosen by a seed. What came of it is counted from sources that know nothing of each other: what
the publisher was told was accepted, what the workers' recorder wrote, what is left in the broker.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from subprocess import TimeoutExpired
from threading import Event, Thread

import psutil

from deploytools.load.histogram import histogram, quantile_seconds
from deploytools.testing.brokers import EmbeddedRedisBroker, ProxiedRedisBroker
from deploytools.testing.fleet import FleetUnderTest, Worker
from deploytools.testing.ledger import Entry
from deploytools.testing.waiting import StillWaitingError
from deploytools.worker.synthetic import SERVE

# Tasks a second while the publisher is busy; between bursts it sends a tenth of that. Losses hide under light load.
BUSY_PER_SECOND = 400.0
PHASE_SECONDS = 1.5
# Most are no-ops, which are lost in transit if at all; some are running when a worker dies.
SERVICE_SECONDS = (*[0.0] * 16, 0.002, 0.02, 0.02, 0.5)
STOPPED_SECONDS = 2.0


class Fault(StrEnum):
    """What happens to a fleet."""

    KILL_WORKER = "SIGKILL of a worker and its processes"
    KILL_PROCESS = "SIGKILL of one pool process"
    STOP_WORKER = "SIGTERM of a worker"
    STOP_ALL = "three SIGTERMs of every worker"
    FREEZE_WORKER = "SIGSTOP of a worker for two seconds"
    DROP_CONNECTIONS = "every connection to the broker closed"
    POISON = "a message of each unreadable kind"
    KILL_BROKER = "SIGKILL of the broker, which is back after a second"
    PAUSE_BROKER = "a broker that hangs"
    FILL_BROKER = "a broker over its memory limit"
    CUT_NETWORK = "no byte passes between fleet and broker"
    SLOW_NETWORK = "every byte between fleet and broker takes a tenth of a second"


# Kills are what loses messages; the others must not make it worse. Faults of the broker are asked for by name.
WEIGHTS = {
    Fault.KILL_WORKER: 6,
    Fault.KILL_PROCESS: 2,
    Fault.STOP_WORKER: 1,
    Fault.STOP_ALL: 1,
    Fault.FREEZE_WORKER: 1,
    Fault.DROP_CONNECTIONS: 1,
    Fault.POISON: 1,
}
UNREADABLE = (b"{", b"\xff\xfe\x00", b"17", b"[]", b"null", b"", b"{}", b'{"headers": {}, "properties": 3}')


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The account of a run. Times in seconds; `lost_per_kill_bound` is the 95 % upper bound for no loss in n kills.

    `redelivery_p99_seconds`: from the kill of a worker until another took up what it had. Not timed, only counted, is
    what was hit again on its way back, nobody saw when; and what came back while for a time there was no worker.
    """

    seed: int
    faults: dict[str, int]
    incidents: tuple[tuple[float, str], ...]  # seconds from the first task, fault
    longest_seconds: tuple[tuple[float, float], ...]  # second of the run, from publish to end of the slowest sent in it
    workers_started: int
    hung: int  # workers that did not end after SIGTERM, and were killed
    accepted: int
    refused: int
    longest_publish_seconds: float
    finished: int
    redelivered: int
    finished_twice: int
    dead: int
    lost: tuple[str, ...]
    redelivery_p99_seconds: float | None
    redeliveries_timed: int
    redeliveries_untimed: int
    lost_per_kill_bound: float | None

    def as_json(self) -> str:
        """Return the account as JSON, but for what happened when."""
        series = ("incidents", "longest_seconds")
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__ if name not in series})


@dataclass(kw_only=True)
class Chaos:
    """Runs faults on the tier of a fleet under test."""

    fleet: FleetUnderTest
    tier: str
    seed: int
    workers_wanted: int = 2
    refused: int = 0
    longest_publish_seconds: float = 0.0
    workers_started: int = 0
    hung: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    _incidents: list[tuple[float, Fault]] = field(default_factory=list)  # epoch seconds, fault
    _workers: list[Worker] = field(default_factory=list)
    _killed_at: dict[str, float] = field(default_factory=dict)  # node → when
    _absences: list[tuple[float, float]] = field(default_factory=list)  # from when till when no worker took tasks
    # Nodes that gave tasks back themselves, to the end of the queue: how long those waited says nothing of leases.
    _rejecting: set[str] = field(default_factory=set)

    def run(self, kills: int, *, settle_seconds: float) -> Outcome:
        """Inject faults at random until so many were kills; see `endure`."""
        return self.endure(self._until(kills), settle_seconds=settle_seconds)

    def endure(self, faults: Iterable[Fault], *, settle_seconds: float, fault_seconds: float = 1.0) -> Outcome:
        """Inject faults under load; wait until nothing has ended for `settle_seconds`; return the account.

        `fault_seconds` is how long the broker is away, hangs or is full.
        """
        random = Random(self.seed)  # noqa: S311 — reproducible on purpose
        self._top_up()
        with self._load(Random(self.seed + 1)):  # noqa: S311
            time.sleep(PHASE_SECONDS * 2)  # until tasks wait and run
            for fault in faults:
                began_at = time.time()
                self._incidents.append((began_at, fault))
                self._inject(fault, random, fault_seconds)
                self.faults[fault] += 1
                self._top_up()
                if fault is Fault.STOP_ALL:
                    self._absences.append((began_at, time.time()))
                time.sleep(random.uniform(0.2, 1.0))
        self._settle(settle_seconds)
        return self._account()

    def _until(self, kills: int) -> Iterator[Fault]:
        random = Random(self.seed + 2)  # noqa: S311
        while self.faults[Fault.KILL_WORKER] + self.faults[Fault.KILL_PROCESS] < kills:
            yield random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def _settle(self, patience_seconds: float) -> None:
        """Wait for the rest. A backlog takes as long as it takes; a lost task is one that never ends."""
        before = -1
        while before < (over := len(self.fleet.ledger.over().keys() & self.fleet.sent.keys())) < len(self.fleet.sent):
            before = over
            with suppress(StillWaitingError):
                self.fleet.wait_until_over(deadline_seconds=patience_seconds)

    def _inject(self, fault: Fault, random: Random, seconds: float) -> None:
        worker, broker = random.choice(self._workers), self.fleet.broker
        match fault:
            case Fault.KILL_WORKER:
                self._kill(worker)
            case Fault.KILL_PROCESS:
                self._kill_process(worker, random)
            case Fault.STOP_WORKER | Fault.STOP_ALL:
                self._stop([worker] if fault is Fault.STOP_WORKER else self._workers * 3)
            case Fault.FREEZE_WORKER:
                self._freeze(worker)
            case Fault.DROP_CONNECTIONS:
                broker.drop_connections()
            case Fault.POISON:
                broker.put_raw(self.fleet.fleet.tier(self.tier).queue, UNREADABLE)
            case _:
                self._break_broker(fault, seconds)

    def _kill(self, worker: Worker) -> None:
        os.killpg(worker.program.pid, signal.SIGKILL)
        self._killed_at[worker.name] = time.time()
        worker.program.wait()

    def _freeze(self, worker: Worker) -> None:
        os.killpg(worker.program.pid, signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        os.killpg(worker.program.pid, signal.SIGCONT)

    def _kill_process(self, worker: Worker, random: Random) -> None:
        self._rejecting.add(worker.name)
        try:
            random.choice(worker.program.children()).send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, IndexError):
            self.faults[Fault.KILL_PROCESS] -= 1  # nobody was hit: not a kill

    def _stop(self, workers: list[Worker]) -> None:
        for worker in workers:
            worker.program.signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.program.wait()
            except TimeoutExpired:  # stock ones hang now and then; whoever runs them kills them
                self.hung += 1
                self._kill(worker)

    def _break_broker(self, fault: Fault, seconds: float) -> None:
        broker = self.fleet.broker
        if isinstance(broker, ProxiedRedisBroker) and fault in {Fault.CUT_NETWORK, Fault.SLOW_NETWORK}:
            (broker.cut if fault is Fault.CUT_NETWORK else broker.slow_down)(seconds)
            return
        if not isinstance(broker, EmbeddedRedisBroker):
            raise TypeError(f"{fault}: {broker.kind} is shared with other tests: use --broker embedded")
        {
            Fault.KILL_BROKER: lambda: broker.kill(away_seconds=seconds),
            Fault.PAUSE_BROKER: lambda: broker.pause(seconds),
            Fault.FILL_BROKER: lambda: broker.fill(seconds),
        }[fault]()

    def _top_up(self) -> None:
        self._workers = [worker for worker in self._workers if psutil.pid_exists(worker.program.pid) and lives(worker)]
        missing = [self.fleet.launch(self.tier) for _ in range(self.workers_wanted - len(self._workers))]
        self.workers_started += len(missing)
        self._workers += [worker.wait_until_ready() for worker in missing]

    @contextmanager
    def _load(self, random: Random) -> Iterator[None]:
        stop = Event()
        publisher = Thread(target=self._publish, args=(random, stop), daemon=True)
        publisher.start()
        try:
            yield
        finally:
            stop.set()
            publisher.join()

    def _publish(self, random: Random, stop: Event) -> None:
        queue = self.fleet.fleet.tier(self.tier).queue
        while not stop.is_set():
            began_at = time.monotonic()
            busy = int(began_at / PHASE_SECONDS) % 2
            try:
                self.fleet.send(SERVE, random.choice(SERVICE_SECONDS), queue=queue)
            except Exception:  # noqa: BLE001 — refused, for whatever reason: not accepted, not lost
                self.refused += 1
            self.longest_publish_seconds = max(self.longest_publish_seconds, time.monotonic() - began_at)
            stop.wait(random.expovariate(BUSY_PER_SECOND if busy else BUSY_PER_SECOND / 10))

    def _account(self) -> Outcome:
        accepted = set(self.fleet.sent)
        starts, ends = Counter[str](), Counter[str]()
        holders: dict[str, Entry] = {}
        delays, untimed = [], 0
        began_at = min((sent.at for sent in self.fleet.sent.values()), default=0.0)
        longest: dict[float, float] = {}
        for entry in self.fleet.ledger.entries():
            if entry.event == "received":
                before, holders[entry.id] = holders.get(entry.id), entry
                killed_at = self._killed_at.get(before.node, entry.at) if before else entry.at
                if before and before.node not in self._rejecting and killed_at < entry.at:
                    if entry.redeliveries > before.redeliveries + 1 or self._was_empty(killed_at, entry.at):
                        untimed += 1
                    else:
                        delays.append(entry.at - killed_at)
            elif entry.event == "started":
                starts[entry.id] += 1
            elif entry.event == "ended" and entry.state == "SUCCESS":
                ends[entry.id] += 1
                sent = self.fleet.sent.get(entry.id)
                if sent and ends[entry.id] == 1:
                    second = float(int(sent.at - began_at))
                    longest[second] = max(longest.get(second, 0.0), entry.at - sent.at)
        lost = sorted(accepted - ends.keys())
        kills = self.faults[Fault.KILL_WORKER] + self.faults[Fault.KILL_PROCESS]
        return Outcome(
            seed=self.seed,
            faults={fault.value: number for fault, number in self.faults.items()},
            incidents=tuple((at - began_at, fault.value) for at, fault in self._incidents),
            longest_seconds=tuple(longest.items()),
            workers_started=self.workers_started,
            hung=self.hung,
            accepted=len(accepted),
            refused=self.refused,
            longest_publish_seconds=round(self.longest_publish_seconds, 3),
            finished=len(accepted & ends.keys()),
            redelivered=sum(count > 1 for id_, count in starts.items() if id_ in accepted),
            finished_twice=sum(count > 1 for id_, count in ends.items() if id_ in accepted),
            dead=self.fleet.depth_of(f"{self.fleet.fleet.tier(self.tier).queue}.dead"),
            lost=tuple(lost),
            redelivery_p99_seconds=quantile_seconds(histogram(delays), 99) if delays else None,
            redeliveries_timed=len(delays),
            redeliveries_untimed=untimed,
            lost_per_kill_bound=3 / kills if not lost and kills else None,
        )

    def _was_empty(self, since: float, until: float) -> bool:
        return any(start < until and end > since for start, end in self._absences)


def lives(worker: Worker) -> bool:
    """Say whether a worker's main process runs."""
    return worker.program.process.poll() is None
