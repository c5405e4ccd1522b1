"""A short mixed load on a fleet of one's own, and an account of it by tier."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Any
from zlib import crc32

from celery import Celery

from deploytools.errors import VerdictError
from deploytools.fleet import Fleet
from deploytools.inspect.snapshot import worker_names
from deploytools.load.demo_result import DemoResult
from deploytools.load.offloading import OffloadingSession
from deploytools.load.profile import PROFILES
from deploytools.load.result import tier_load
from deploytools.load.samples import Account
from deploytools.load.session import LoadSession
from deploytools.project import Project
from deploytools.transport.channel import STAGE_SUFFIX

# Workers report ready when their processes are warm, which takes the nicest tier a minute on a busy machine.
START_DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Offers the `flood` profile to a running fleet. `watch` hears (seconds offered so far, account) meanwhile."""

    app: Celery
    fleet: Fleet
    project: Project
    probe_queue: str
    watch: Callable[[float, Account], None]

    def run(self, *, seconds: float, abandoned: Event) -> DemoResult:
        """Wait for the workers, offer load for some seconds, wait for what is still running; return the account."""
        session = OffloadingSession(
            app=self.app,
            fleet=self.fleet,
            profile=PROFILES["flood"],
            project=self.project,
            seconds=seconds,
            reports=self.probe_queue,
        )
        session.start()
        try:
            wait_for_workers(self.app, self.fleet, abandoned)
            self._offer(session, seconds, abandoned)
        finally:
            session.drain(abandoned)
        if session.failure:
            raise VerdictError(f"{session.failure}: the demo has no account: see its log above, and try again")
        return self._account(session.account)

    def _offer(self, session: LoadSession, seconds: float, abandoned: Event) -> None:
        with ThreadPoolExecutor(max_workers=len(self.fleet.tiers)) as threads:
            running = [threads.submit(session.offer, tier, seed=crc32(tier.name.encode())) for tier in self.fleet]
            started_at = time.monotonic()
            while (offered := time.monotonic() - started_at) < seconds and not abandoned.is_set():
                self.watch(offered, session.account)
                wait(running, timeout=POLL_SECONDS)
                if any(future.done() for future in running):
                    break  # only an error ends an offering early: it is raised below
            session.stop_sending()
        for future in running:
            future.result()
        self.watch(seconds, session.account)

    def _account(self, account: Account) -> DemoResult:
        held = _messages_held(self.app, self.fleet)
        samples = account.samples.values()
        return DemoResult(
            tiers=tuple(tier_load(tier, [s for s in samples if s.tier == tier.name], 0) for tier in self.fleet),
            lost=sum(id_.encode() not in held for id_ in account.unheard()),
            refused=account.refused,
            sent_by_beat=len(account.sent_by_beat),
        )


def _messages_held(app: Celery, fleet: Fleet) -> bytes:
    """Return all messages that a Redis holds, waiting or not acknowledged, one after another."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        keys = [key for tier in fleet for key in (tier.queue, f"{tier.queue}{STAGE_SUFFIX}")]
        waiting = [raw for key in keys for raw in channel.client.lrange(key, 0, -1)]
        return b"\n".join([*waiting, *channel.client.hvals(channel.unacked_key)])


def wait_for_workers(app: Celery, fleet: Fleet, abandoned: Event) -> None:
    """Wait until every tier has a worker; raise VerdictError where that does not come, or is not wanted any more."""
    wanted = {tier.queue for tier in fleet}
    give_up_at = time.monotonic() + START_DEADLINE_SECONDS
    while missing := wanted - worker_names(app).keys():
        if time.monotonic() > give_up_at or abandoned.is_set():
            queues = ", ".join(sorted(missing))
            raise VerdictError(f"the workers of {queues} did not start: see fleet.log below .deploytools")
        abandoned.wait(POLL_SECONDS)
