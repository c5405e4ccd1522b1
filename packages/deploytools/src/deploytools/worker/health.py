"""Whether a worker lives, and whether it consumes."""

import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks

TICK_SECONDS = 1.0
# A worker that has not looked up from its work for so long while it is connected hangs; the longest thing its main
# process does at once is to fork, 0.1 s.
HUNG_AFTER_SECONDS = 60.0
# A worker that has not looked up for so long does not take messages now.
BEHIND_AFTER_SECONDS = 3.0


class Liveness:
    """Whether a worker's event loop turns, and whether it consumes. `is_warm` says whether its pool is whole."""

    def __init__(self, is_warm: Callable[[], bool] = lambda: True) -> None:
        self.is_consuming = False
        self._is_warm = is_warm
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """Note that the event loop turns."""
        self._beat_at = time.monotonic()

    def is_live(self) -> bool:
        """Say whether it is alive; one that waits for its broker is."""
        return not self.is_consuming or time.monotonic() - self._beat_at < HUNG_AFTER_SECONDS

    def is_ready(self) -> bool:
        """Say whether it takes messages, and has the warm processes to run them."""
        return self.is_consuming and time.monotonic() - self._beat_at < BEHIND_AFTER_SECONDS and self._is_warm()


class LivenessStep(bootsteps.StartStopStep):
    """Keeps the pulse, from when messages are consumed until the connection is lost."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def include_if(self, consumer: Any) -> bool:
        """Only where somebody asks for it."""
        return getattr(consumer.app, "pulse", None) is not None

    def start(self, consumer: Any) -> None:
        """Begin."""
        pulse: Liveness = consumer.app.pulse
        pulse.beat()
        pulse.is_consuming = True
        self._timer = consumer.timer.call_repeatedly(TICK_SECONDS, pulse.beat)

    def stop(self, consumer: Any) -> None:
        """End: the connection is lost, or the worker stops."""
        consumer.app.pulse.is_consuming = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def terminate(self, consumer: Any) -> None:
        """End."""
        self.stop(consumer)
