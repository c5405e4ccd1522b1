"""Ask the processes of this host, and the broker, what they do; pause tiers and resume them."""

import json
import time
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError

from deploytools.broker.queues import QueueState, queue_states
from deploytools.fleet import Fleet
from deploytools.inspect.top.sample import Sample, Scrape, leading_beat, sum_up, told_queues
from deploytools.transport.dead import dead_queue

ANSWER_SECONDS = 2.0
# Workers answer within milliseconds, and we know how many will; only one that hangs costs this much.
REPLY_SECONDS = 0.5
SCRAPES_AT_ONCE = 8


class Gatherer:
    """Takes samples of a fleet over one connection; `folder` is where its processes say where they are read."""

    def __init__(self, app: Celery, fleet: Fleet, folder: Path) -> None:
        self._app, self._fleet, self._folder = app, fleet, folder
        self._connection: Any = None

    def take(self) -> Sample:
        """Ask everybody once. A process that does not answer is not in the sample."""
        with ThreadPoolExecutor(max_workers=SCRAPES_AT_ONCE) as threads:
            scrapes = [found for found in threads.map(_scrape, sorted(self._folder.glob("*.json"))) if found]
        leader = leading_beat(scrapes)
        queues = told_queues(self._fleet, leader) if leader else self._read_queues()
        workers = [scrape.worker for scrape in scrapes if scrape.tiers]
        consumed = self._consumed(workers) if queues is not None and workers else {}
        return sum_up(self._fleet, scrapes, at=time.monotonic(), queues=queues, consumed=consumed)

    def pause(self, tier_name: str, workers: Iterable[str]) -> None:
        """Let workers take nothing more from a tier's queue; what they hold they finish."""
        self._app.control.cancel_consumer(self._fleet.tier(tier_name).queue, destination=list(workers))

    def resume(self, tier_name: str, workers: Iterable[str]) -> None:
        """Let workers take from a tier's queue again; they know how it is declared."""
        self._app.control.add_consumer(self._fleet.tier(tier_name).queue, destination=list(workers))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OperationalError, RedisError, OSError):
                self._connection.close()
            self._connection = None

    def _read_queues(self) -> dict[str, QueueState] | None:
        names = [name for tier in self._fleet for name in (tier.queue, dead_queue(tier.queue))]
        try:
            self._connection = self._connection or self._app.connection_for_read()
            return queue_states(self._connection, names)
        except (OperationalError, RedisError, OSError):
            self.close()
            return None

    def _consumed(self, workers: list[str]) -> dict[str, set[str]]:
        inspect = self._app.control.inspect(destination=workers, timeout=REPLY_SECONDS, limit=len(workers))
        try:
            answers = inspect.active_queues() or {}
        except (OperationalError, RedisError, OSError):
            return {}
        return {worker: {queue["name"] for queue in queues} for worker, queues in answers.items()}


def _scrape(target: Path) -> Scrape | None:
    try:
        told = json.loads(target.read_text())[0]
        labels = told["labels"]
        with urllib.request.urlopen(f"http://{told['targets'][0]}/metrics", timeout=ANSWER_SECONDS) as answer:
            text = answer.read().decode()
    except (OSError, HTTPException, ValueError):  # it is gone, or hangs
        return None
    is_beat = labels["tier"] == "beat"
    return Scrape(
        pid=target.stem,
        worker=labels["worker"],
        tiers=() if is_beat else tuple(labels["tier"].split(",")),
        series=tuple(
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ),
    )
