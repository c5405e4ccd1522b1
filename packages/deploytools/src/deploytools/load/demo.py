"""A short mixed load on a fleet of one's own, and an account of it by tier."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from random import Random
from threading import Event
from typing import Any

from celery import Celery

from deploytools.errors import PromiseBrokenError
from deploytools.fleet import Fleet
from deploytools.inspect.snapshot import depths, worker_names
from deploytools.load.ledger import Ledger, TierResult
from deploytools.load.offering import Offering, listen
from deploytools.load.workload import Workload

# The tier with the tightest promise gets a modest stream; the others are kept full, so that there is something to be
# protected from.
STREAM_PER_SECOND = 5.0
# Tasks waiting or running per process of a full tier: there is always one more than can be run.
TASKS_PER_PROCESS = 2
START_DEADLINE_SECONDS = 60.0
DRAIN_DEADLINE_SECONDS = 20.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """The account of a run: by tier; tasks that were accepted and never heard of; tasks that beat sent."""

    tiers: dict[str, TierResult]
    lost: int
    beat_sent: int

    def raise_if_lost(self) -> None:
        """Raise PromiseBrokenError if an accepted task was neither done nor is still in the broker."""
        if self.lost:
            raise PromiseBrokenError(f"{self.lost} accepted tasks were lost: see the fleet's log, and report this")

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON object."""
        return {
            "tiers": {name: asdict(result) for name, result in self.tiers.items()},
            "lost": self.lost,
            "beat": {"sent": self.beat_sent},
        }


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Offers load to a running fleet. `watch` is called with (seconds offered so far, ledger) while it goes on."""

    app: Celery
    fleet: Fleet
    workload: Workload
    probe_queue: str
    watch: Callable[[float, Ledger], None]

    def run(self, *, seconds: float, abandoned: Event) -> DemoResult:
        """Wait for the workers, offer load for some seconds, wait for what is still running; return the account."""
        ledger, heard_all, listening = Ledger(), Event(), Event()
        with ThreadPoolExecutor(max_workers=len(self.fleet.tiers) + 1) as threads:
            ear = threads.submit(listen, self.app, self.probe_queue, ledger, stop=heard_all, ready=listening)
            with _set_at_end(heard_all):
                listening.wait(START_DEADLINE_SECONDS)
                wait_for_workers(self.app, self.fleet, abandoned)
                self._offer(threads, ledger, seconds, abandoned)
                self._drain(ledger, abandoned)
            ear.result()
        return self._account(ledger)

    def _offer(self, threads: ThreadPoolExecutor, ledger: Ledger, seconds: float, abandoned: Event) -> None:
        stop = Event()
        with _set_at_end(stop):
            running = self._start_offerings(threads, ledger, stop)
            started_at = time.monotonic()
            while (offered := time.monotonic() - started_at) < seconds and not abandoned.is_set():
                self.watch(offered, ledger)
                wait(running, timeout=POLL_SECONDS)
                for future in running:
                    if future.done():
                        future.result()  # only an error ends an offering early: raise it
        self.watch(seconds, ledger)

    def _start_offerings(self, threads: ThreadPoolExecutor, ledger: Ledger, stop: Event) -> list[Future[None]]:
        tightest = min(self.fleet, key=lambda tier: tier.start_within_seconds)
        running = []
        for tier in self.fleet:
            offers = self.workload.of_tier(self.fleet, tier)
            if not offers:
                continue
            offering = Offering(
                app=self.app,
                tier=tier,
                offers=offers,
                ledger=ledger,
                probe_queue=self.probe_queue,
                random=Random(tier.name),  # noqa: S311 — reproducible on purpose
            )
            if tier == tightest:
                running.append(threads.submit(offering.at_random, per_second=STREAM_PER_SECOND, stop=stop))
            else:
                outstanding = TASKS_PER_PROCESS * tier.autoscale.max
                running.append(threads.submit(offering.saturate, outstanding=outstanding, stop=stop))
        return running

    def _drain(self, ledger: Ledger, abandoned: Event) -> None:
        give_up_at = time.monotonic() + DRAIN_DEADLINE_SECONDS
        while ledger.outstanding() and time.monotonic() < give_up_at and not abandoned.is_set():
            abandoned.wait(POLL_SECONDS)

    def _account(self, ledger: Ledger) -> DemoResult:
        still_in_broker = sum(depths(self.app, self.fleet).values()) if ledger.outstanding() else 0
        return DemoResult(
            tiers={tier.name: ledger.result(tier) for tier in self.fleet},
            lost=max(0, ledger.outstanding() - still_in_broker),
            beat_sent=ledger.beat_reports(),
        )


@contextmanager
def _set_at_end(event: Event) -> Any:
    try:
        yield
    finally:
        event.set()


def wait_for_workers(app: Celery, fleet: Fleet, abandoned: Event) -> None:
    """Wait until every tier has a worker; raise TimeoutError where that does not come, or is not wanted any more."""
    wanted = {tier.queue for tier in fleet}
    give_up_at = time.monotonic() + START_DEADLINE_SECONDS
    while not wanted <= worker_names(app).keys():
        if time.monotonic() > give_up_at or abandoned.is_set():
            raise TimeoutError("the workers did not start: see the fleet's log")
        abandoned.wait(POLL_SECONDS)
