"""The broker round trip: how long a bare message takes from put to got, with nothing of Celery's around it."""

import time
from contextlib import suppress
from threading import Event
from typing import Any
from uuid import uuid4

from celery import Celery
from kombu import Consumer, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

EVERY_SECONDS = 0.1


def measure_round_trips(app: Celery, round_trips: list[float], *, stop: Event) -> None:
    """Send a message to ourselves again and again, and append the seconds each took, until told to stop.

    A broker that goes away ends it: what was measured stays.
    """
    with (
        app.connection_for_read() as reading,
        app.connection_for_write() as writing,
        suppress(*reading.connection_errors, OperationalError),
    ):
        _measure(reading, writing, round_trips, stop)


def _measure(reading: Any, writing: Any, round_trips: list[float], stop: Event) -> None:
    name = f"deploytools.load.round_trip.{uuid4().hex}"
    queue = Queue(name, Exchange(""), routing_key=name, durable=False, auto_delete=True)
    producer = Producer(writing)
    with Consumer(
        reading.channel(),
        [queue],
        callbacks=[lambda sent_at, _: round_trips.append(time.perf_counter() - sent_at)],
        no_ack=True,
    ):
        while not stop.wait(EVERY_SECONDS):
            producer.publish(time.perf_counter(), routing_key=name, serializer="json", delivery_mode=1)
            with suppress(TimeoutError):
                reading.drain_events(timeout=1)
    queue(writing.channel()).delete()
