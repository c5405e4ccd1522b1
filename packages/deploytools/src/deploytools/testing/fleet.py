"""A fleet under test: real workers of real tiers on a real broker, what they did, and what may be expected of them."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import uuid4

import kombu.pools
import psutil
from celery import Celery
from celery.utils.nodenames import gethostname

from deploytools.broker.queues import read_queues
from deploytools.commands import Command, beat_command, dev_worker_command, worker_command
from deploytools.fleet import Fleet
from deploytools.project import find_project
from deploytools.testing.brokers import Broker
from deploytools.testing.ledger import Ledger
from deploytools.testing.processes import Running
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import DEADLINE_SECONDS, wait_until
from deploytools.transport.dead import dead_queue
from deploytools.worker import install

RECORDER = "--include=deploytools.testing.recorder"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker that was started; `name` is its node name."""

    name: str
    program: Running

    def processes(self) -> int:
        """Return how many pool processes it has now."""
        return sum(_lives(child) for child in self.program.children())

    def sizes(self) -> list[int]:
        """Return the sizes its autoscaler went through, as it logged them."""
        return [int(size) for size in re.findall(r"\] (\d+) processes: ", self.program.log())]

    def wait_until_ready(self) -> "Worker":
        """Wait until it consumes."""
        self.program.wait_for_log(f"{self.name} ready.")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A task that was published, the tier it was meant for, and when (seconds of the epoch)."""

    task: str
    tier: str
    at: float


@dataclass(kw_only=True)
class FleetUnderTest:
    """Start workers, send tasks, and say what should come of it.

    What is expected is waited for, up to a deadline; what should not happen is checked in what did happen. Messages of
    failed expectations name tier and task.
    """

    project: ProjectUnderTest
    broker: Broker
    fleet: Fleet = field(init=False)
    app: Celery = field(init=False)
    ledger: Ledger = field(init=False)
    sent: dict[str, Sent] = field(default_factory=dict)
    _workers: int = 0

    def __post_init__(self) -> None:
        self.fleet = find_project({}, self.project.root).fleet()
        self.broker.admit(self.fleet)
        self.app = self._publisher()
        self.ledger = Ledger(self.project.logs.parent / "ledger.jsonl")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.project.stop()
        self.app.close()
        kombu.pools.reset()  # connections remember which queues they declared
        self.broker.clear(name for tier in self.fleet for name in (tier.queue, dead_queue(tier.queue)))

    def start(self, tier_name: str, *options: str, **env: str) -> Worker:
        """Start a worker of a tier, with its own command line and more options; wait until it is ready."""
        return self.launch(tier_name, *options, **env).wait_until_ready()

    def launch(self, tier_name: str, *options: str, **env: str) -> Worker:
        """Start a worker of a tier without waiting for it."""
        tier, node = self.fleet.tier(tier_name), self._next_node()
        return self._run(worker_command(self.fleet, tier, log_level="info", node=node), options, env)

    def start_by_hand(self, tier_name: str, *options: str, **env: str) -> Worker:
        """Start a worker as somebody might without the fleet's bounds, with any pool; wait until it is ready."""
        tier, node = self.fleet.tier(tier_name), self._next_node()
        command = worker_command(self.fleet, tier, log_level="info", node=node)
        argv = tuple(word for word in command.argv if not word.startswith(("--autoscale", "--concurrency")))
        return self._run(replace(command, argv=argv), options, env).wait_until_ready()

    def start_all(self) -> dict[str, Worker]:
        """Start a worker of each tier; wait until all are ready."""
        workers = {tier.name: self.launch(tier.name) for tier in self.fleet}
        return {name: worker.wait_until_ready() for name, worker in workers.items()}

    def start_dev(self, *options: str, concurrency: int = 2) -> Worker:
        """Start a worker of all queues; wait until it is ready."""
        command = dev_worker_command(self.fleet, concurrency=concurrency, log_level="info", node=self._next_node())
        return self._run(command, options, {}).wait_until_ready()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands (`queues`, `dead.list`) on this broker, to its end."""
        return self.project.command(*words, **self._environment({}))

    def start_beat(self, **env: str) -> Running:
        """Start a scheduler; a second one stands by, where the broker can keep their state."""
        shared = self.broker.is_redis and self.fleet.transport == "hardened"
        schedule = None if shared else self.project.logs.parent / "celerybeat-schedule"
        return self.project.start(
            beat_command(self.fleet, schedule=schedule, log_level="info").argv, **self._environment(env)
        )

    def send(self, task: str, *arguments: Any, **options: Any) -> str:
        """Publish a task by name, with `apply_async`'s options; return its id."""
        at, task_id = time.time(), uuid4().hex
        self.app.send_task(task, arguments, task_id=task_id, **options)
        queue = options.get("queue")
        tier = self.fleet.tier_of_queue(queue) if queue else self.fleet.tier_of_task(task)
        self.sent[task_id] = Sent(task=task, tier=tier.name if tier else "?", at=at)
        return task_id

    def occupy(self, tier_name: str, count: int, seconds: float, **options: Any) -> list[str]:
        """Publish tasks that hold a process of a tier for so long; return their ids."""
        queue = self.fleet.tier(tier_name).queue
        return [self.send("deploytools.synthetic.serve", seconds, queue=queue, **options) for _ in range(count)]

    def reconnect(self, worker: Worker) -> None:
        """Close every connection to the broker, and wait until a worker consumes again.

        It must have answered once: the connection it consumes by is made after it logs that it is ready.
        """
        readies = worker.program.log().count("Connected to ")
        self.wait_for_answer(worker)
        self.broker.drop_connections()
        kombu.pools.reset()
        self.app = self._publisher()  # the old one's connections are closed as well
        worker.program.wait_for_log("Connected to ", times=readies + 1)
        self.wait_for_answer(worker)

    def wait_for_answer(self, worker: Worker) -> None:
        """Wait until a worker answers: its event loop runs, and its connections are made."""
        wait_until(lambda: self.app.control.ping([worker.name], timeout=0.5), f"{worker.name} to answer")

    def depth(self, tier_name: str) -> int:
        """Return how many messages wait in a tier's queue."""
        return self.depth_of(self.fleet.tier(tier_name).queue)

    def depth_of(self, queue: str) -> int:
        """Return how many messages wait in a queue of any name."""
        return read_queues(self.app, [queue])[queue].depth

    def busy(self, worker: Worker) -> int:
        """Return how many tasks a worker runs now, as far as the ledger knows."""
        running: set[str] = set()
        for entry in self.ledger.entries():
            if entry.node == worker.name:
                {"started": running.add, "ended": running.discard}.get(entry.event, str)(entry.id)
        return len(running)

    def wait_until_over(
        self, ids: Iterable[str] | None = None, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> dict[str, str]:
        """Wait until tasks (default: all that were sent) are over; return id → final state."""
        wanted = set(self.sent if ids is None else ids)

        def all_over() -> dict[str, str]:
            over = self.ledger.over()
            missing = Counter(self._describe(id_) for id_ in wanted - over.keys())
            assert not missing, f"not over: {dict(missing)}"
            return {id_: over[id_] for id_ in wanted}

        return wait_until(all_over, f"{len(wanted)} tasks to be over", deadline_seconds=deadline_seconds)

    def expect_nothing_lost(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Expect every task that was sent to be over, each in success."""
        states = self.wait_until_over(deadline_seconds=deadline_seconds)
        failed = {self._describe(id_): state for id_, state in states.items() if state != "SUCCESS"}
        assert not failed, f"failed: {failed}"

    def expect_routed_to(
        self, tier_name: str, ids: Iterable[str], *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Expect tasks to be run once each, by workers of a tier and by no other."""
        tier = self.fleet.tier(tier_name)
        wanted = list(ids)
        self.wait_until_over(wanted, deadline_seconds=deadline_seconds)
        for id_ in wanted:
            places = [(entry.node.partition("-")[0], entry.queue) for entry in self.ledger.starts(id_)]
            assert places == [(tier.name, tier.queue)], (
                f"{self._describe(id_)}: expected one start on tier {tier.name} from queue {tier.queue}, got {places}"
            )

    def expect_held_at_most(self, worker: Worker, most: int, *, of: Iterable[str] | None = None) -> None:
        """Expect a worker never to have held (running and reserved) more tasks than this; `of`: of these ids."""
        held = self.ledger.most_held(worker.name, of=of)
        assert held <= most, f"{worker.name} held {held} tasks at once, {most} declared"

    def expect_scaled_to(self, worker: Worker, processes: int, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Expect a worker's pool to reach a size."""
        wait_until(
            lambda: self._compare_size(worker, processes),
            f"{worker.name} to have {processes} processes",
            deadline_seconds=deadline_seconds,
        )

    def expect_busy(self, worker: Worker, processes: int, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Expect a worker to come to run so many tasks at once."""

        def compare() -> bool:
            now = self.busy(worker)
            assert now == processes, f"{worker.name} runs {now} tasks, not {processes}; pool sizes: {worker.sizes()}"
            return True

        wait_until(compare, f"{worker.name} to run {processes} tasks", deadline_seconds=deadline_seconds)

    def expect_waited_at_most(self, seconds: float, ids: Iterable[str]) -> None:
        """Expect each task to have started this soon after it was sent."""
        for id_ in ids:
            waited = self.ledger.starts(id_)[0].at - self.sent[id_].at
            assert waited <= seconds, f"{self._describe(id_)} waited {waited:.2f} s, {seconds} s allowed"

    def _publisher(self) -> Celery:
        return install(Celery("deploytools-test", broker=self.broker.url, set_as_current=False), self.fleet)

    def _compare_size(self, worker: Worker, processes: int) -> bool:
        now = worker.processes()
        assert now == processes, f"{worker.name} has {now} processes, not {processes}; pool sizes: {worker.sizes()}"
        return True

    def _describe(self, task_id: str) -> str:
        sent = self.sent.get(task_id)
        return f"{sent.task} of tier {sent.tier}" if sent else task_id

    def _next_node(self) -> str:
        self._workers += 1
        return str(self._workers)

    def _run(self, command: Command, options: Sequence[str], env: dict[str, str]) -> Worker:
        program = self.project.start([*command.argv, RECORDER, *options], **self._environment(env))
        name = next(word for word in command.argv if word.startswith("--hostname=")).removeprefix("--hostname=")
        return Worker(name=name.replace("%h", gethostname()), program=program)

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self.broker.url, "DEPLOYTOOLS_LEDGER": str(self.ledger.path), **env}


def _lives(child: psutil.Process) -> bool:
    try:
        return bool(child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
