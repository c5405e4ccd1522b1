"""Read the depth of a worker's queues beside its event loop.

The loop asks when it has use for the answer and goes on; a thread of its own waits for the broker. A worker that has
credit left never asks: its queue is empty, or its next message would be here.
"""

import logging
from collections.abc import Iterable
from threading import Event, Thread

from celery import Celery

from deploytools import fork_safety
from deploytools.broker.queues import queue_depth

logger = logging.getLogger(__name__)

# At most so many readings a second; a reading older than this says nothing about now.
PAUSE_SECONDS = 0.2


class DepthReader:
    """Reads the depth of some queues when asked. `depth` is the newest answer, 0 until there is one."""

    def __init__(self, app: Celery, queues: Iterable[str]) -> None:
        self.depth = 0
        self._app = app
        self._queues = tuple(queues)
        self._asked = Event()
        self._closed = Event()
        self._guard = fork_safety.guard()
        self._thread = Thread(target=self._read_when_asked, name="deploytools-depth", daemon=True)

    def ask(self) -> None:
        """Have the depth read again soon; returns at once."""
        if not self._thread.is_alive() and not self._closed.is_set():
            self._thread.start()
        self._asked.set()

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._asked.set()

    def _read_when_asked(self) -> None:
        while not self._closed.is_set():
            try:
                with self._app.connection_for_read() as connection:
                    while not self._closed.is_set():
                        self._asked.wait()
                        self._asked.clear()
                        with self._guard:
                            self.depth = sum(queue_depth(connection, queue) for queue in self._queues)
                        self._closed.wait(PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 — the broker may be away in any way; scaling goes on without it
                self.depth = 0
                logger.debug("queue depth unknown: %r", error)
                self._closed.wait(1.0)
