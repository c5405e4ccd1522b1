"""One process of a load run: sends by schedule, hears how it went, keeps the account. It knows nothing of Locust."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from celery import Celery

from deploytools.errors import BrokerUnreachableError
from deploytools.fleet import Fleet, Tier
from deploytools.load.profile import Profile, Saturate
from deploytools.load.round_trip import measure_round_trips
from deploytools.load.samples import Account, Sample
from deploytools.load.workload import Call, Workload
from deploytools.worker.completion_reports import PROBE_QUEUE

logger = logging.getLogger(__name__)

# How often a full tier, and the stop flag, are looked at.
POLL_SECONDS = 0.01
LISTEN_SECONDS = 0.2
READY_DEADLINE_SECONDS = 10.0
# Of one tier at the same time. Celery's pool has ten connections: the others wait for one of them.
MAX_PUBLISHES = 100


@dataclass(kw_only=True)
class LoadSession:
    """Sends one profile's tasks. `on_publish` and `on_report` are told of each (sample; error or None)."""

    app: Celery
    fleet: Fleet
    profile: Profile
    workload: Workload
    on_publish: Callable[[Sample, BaseException | None], None] = lambda *_: None
    on_report: Callable[[Sample], None] = lambda _: None
    account: Account = field(default_factory=Account)
    round_trips: list[float] = field(default_factory=list)
    reports: str = field(default_factory=lambda: f"deploytools.load.{uuid4().hex}")
    _sending_over: Event = field(default_factory=Event)
    _heard_all: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def start(self) -> None:
        """Listen for reports, and measure the broker's round trip; raise BrokerUnreachableError."""
        self.listen()
        self._publish_first()
        self._spawn(lambda: measure_round_trips(self.app, self.round_trips, stop=self._heard_all))

    def listen(self) -> None:
        """Listen for reports; raise BrokerUnreachableError."""
        ready = Event()
        self._spawn(lambda: self._listen(ready))
        if not ready.wait(READY_DEADLINE_SECONDS):
            raise BrokerUnreachableError("the broker gave no queue for reports: is it up, and has it memory left?")

    def offer(self, tier: Tier, *, seed: int) -> None:
        """Send a tier's tasks as the profile wants them, until `stop_sending`."""
        shape, random = self.profile.shape(self.fleet, tier), Random(seed)  # noqa: S311 — reproducible on purpose
        if isinstance(shape, Saturate):
            self._saturate(tier, shape, random)
        else:
            self._keep_schedule(tier, shape.arrivals(random), self._calls(tier, random))
        self._sending_over.wait()

    def stop_sending(self) -> None:
        """Send no more."""
        self._sending_over.set()

    def drain(self, abandoned: Event | None = None) -> None:
        """Wait until every accepted task was heard of, or the profile's drain time is over, or this is abandoned."""
        self.stop_sending()
        abandoned, give_up_at = abandoned or Event(), time.monotonic() + self.profile.drain_seconds
        while self.account.outstanding() and time.monotonic() < give_up_at:
            if abandoned.wait(POLL_SECONDS):
                break
        self._end()

    def _end(self) -> None:
        self._heard_all.set()
        for thread in self._threads:
            thread.join()

    def _publish_first(self) -> None:
        """Send a task to our own queue: the first one a process sends takes 250 ms, in which Celery sets itself up."""
        self.app.send_task("deploytools.load.first", queue=self._reports_queue(), serializer="json")

    def _reports_queue(self) -> Any:
        from kombu import Exchange, Queue

        return Queue(self.reports, Exchange(""), routing_key=self.reports, durable=False, auto_delete=True)

    def _calls(self, tier: Tier, random: Random) -> Iterator[Call]:
        return self.workload.calls(self.fleet, tier, random)

    def _keep_schedule(self, tier: Tier, arrivals: Iterator[float], calls: Iterator[Call]) -> None:
        started_at = time.time()
        # A broker that answers late must not delay the tasks after the one it answers.
        with ThreadPoolExecutor(MAX_PUBLISHES) as senders:
            for arrival, call in zip(arrivals, calls, strict=False):  # a call is made before it is waited for
                if self._sending_over.wait(max(0.0, started_at + arrival - time.time())):
                    return
                senders.submit(self._publish, tier, call, intended_at=started_at + arrival)

    def _saturate(self, tier: Tier, shape: Saturate, random: Random) -> None:
        calls, outstanding = self._calls(tier, random), shape.tasks_per_process * tier.autoscale.max
        while not self._sending_over.wait(POLL_SECONDS):
            for call in islice(calls, max(0, outstanding - self.account.outstanding(tier.name))):
                if self._sending_over.is_set():
                    return
                self._publish(tier, call, intended_at=time.time())

    def _publish(self, tier: Tier, call: Call, *, intended_at: float) -> None:
        task_id = uuid4().hex
        sample, began_at = self.account.intend(task_id, tier.name, intended_at), time.perf_counter()
        try:
            self.app.send_task(
                call.task,
                args=call.arguments,
                task_id=task_id,
                queue=call.queue,
                headers={PROBE_QUEUE: self.reports},
            )
        except Exception as error:  # noqa: BLE001 — whatever it is, the run goes on and the account says so
            self.account.refuse(task_id)
            self.on_publish(sample, error)
        else:
            sample = self.account.publish(task_id, publish_seconds=time.perf_counter() - began_at)
            self.on_publish(sample, None)

    def _listen(self, ready: Event) -> None:
        from kombu import Consumer
        from kombu.exceptions import OperationalError

        queue = self._reports_queue()
        while not self._heard_all.is_set():
            with self.app.connection_for_read() as connection:
                gone: Any = (*connection.connection_errors, OperationalError)
                try:
                    with Consumer(connection, [queue], callbacks=[self._hear], no_ack=True, accept=["json"]):
                        ready.set()
                        self._read_reports(connection)
                    queue(connection.default_channel).delete()
                except gone as error:  # the broker is what some runs stop; reports wait in it
                    logger.warning("reports: %s: will connect again", error)
                    self._heard_all.wait(LISTEN_SECONDS)

    def _read_reports(self, connection: Any) -> None:
        while not self._heard_all.is_set():
            with suppress(TimeoutError):
                connection.drain_events(timeout=LISTEN_SECONDS)

    def _hear(self, report: Any, _: object) -> None:
        if not isinstance(report, dict):
            return  # the task of `_publish_first`
        sample = self.account.hear(report)
        if sample:
            self.on_report(sample)

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)
