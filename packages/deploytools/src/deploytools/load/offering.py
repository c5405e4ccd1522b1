"""Publish tasks to a tier: at random moments whatever comes back, or as many as keep it busy."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from threading import Event
from uuid import uuid4

from celery import Celery

from deploytools.fleet import Tier
from deploytools.load.ledger import Ledger
from deploytools.load.workload import Offer
from deploytools.worker.probe import PROBE_QUEUE

# How often a full tier is looked at again.
LOOK_AGAIN_SECONDS = 0.01


def poisson_arrivals(*, per_second: float, random: Random) -> Iterator[float]:
    """Yield arrival times in seconds from the start: independent of each other and of anything that is answered."""
    at_seconds = 0.0
    while True:
        at_seconds += random.expovariate(per_second)
        yield at_seconds


@dataclass(frozen=True, kw_only=True)
class Offering:
    """Publishes a tier's offers and notes each in the ledger."""

    app: Celery
    tier: Tier
    offers: tuple[Offer, ...]
    ledger: Ledger
    probe_queue: str
    random: Random

    def at_random(self, *, per_second: float, stop: Event) -> None:
        """Publish at Poisson arrivals until told to stop; late ones are sent at once, none is left out."""
        started_at = time.monotonic()
        for arrival in poisson_arrivals(per_second=per_second, random=self.random):
            if stop.wait(max(0.0, started_at + arrival - time.monotonic())):
                return
            self.publish_one()

    def saturate(self, *, outstanding: int, stop: Event) -> None:
        """Keep that many tasks waiting or running until told to stop."""
        while not stop.is_set():
            missing = outstanding - self.ledger.outstanding(self.tier)
            for _ in range(missing):
                self.publish_one()
                if stop.is_set():
                    return
            stop.wait(LOOK_AGAIN_SECONDS)

    def publish_one(self) -> None:
        """Publish one task; a broker that refuses it takes it out of the account."""
        offer = self.random.choice(self.offers)
        arguments = offer.make_arguments(self.random)
        task_id = uuid4().hex
        self.ledger.send(task_id, self.tier)
        try:
            self.app.send_task(
                offer.task,
                args=arguments,
                task_id=task_id,
                queue=offer.queue,
                headers={PROBE_QUEUE: self.probe_queue},
            )
        except Exception:
            self.ledger.refuse(task_id)
            raise


def listen(app: Celery, probe_queue: str, ledger: Ledger, *, stop: Event, ready: Event) -> None:
    """Read probe reports into the ledger until told to stop."""
    from kombu import Consumer, Exchange, Queue

    queue = Queue(probe_queue, Exchange(""), routing_key=probe_queue, durable=False, auto_delete=True)
    with app.connection_for_read() as connection, connection.channel() as channel:
        with Consumer(channel, [queue], callbacks=[lambda body, _: ledger.hear(body)], no_ack=True, accept=["json"]):
            ready.set()
            while not stop.is_set():
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    continue
        queue(channel).delete()
