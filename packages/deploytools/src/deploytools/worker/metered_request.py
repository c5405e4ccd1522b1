"""Count what becomes of each task, in a worker's main process, from what Celery tells it there."""

import time
from functools import cached_property
from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]
from billiard.exceptions import Terminated
from celery.exceptions import Ignore, Retry
from celery.worker import request

from deploytools.fleet import Fleet
from deploytools.metrics.counts import Counts, Key
from deploytools.publish_time import PUBLISHED_AT, wait_seconds
from deploytools.worker import first_runs

NO_TIER = "none"


class MeteredRequest(request.Request):
    """Celery's request, which counts what becomes of it."""

    is_first_run = False  # of its task in the process that it runs in
    _is_counted = False
    _is_requeued = False

    def count_submission(self) -> None:
        """Count a task that is taken up, unless it was before: retried, or delivered again."""
        counts = _counts(self.app)
        if counts is not None and not self.request_dict.get("retries") and not self.delivery_info.get("redelivered"):
            publisher = str(self.request_dict.get("origin") or "unknown").rpartition("@")[2]
            counts.count_submission(self._key, publisher=publisher)

    def on_accepted(self, pid: Any, time_accepted: Any) -> None:
        """Count the start, and the wait before it."""
        super().on_accepted(pid, time_accepted)
        self.is_first_run = first_runs.note_start(self.name, pid)
        counts = _counts(self.app)
        if counts is not None:
            headers, started_at = self.request_dict, self.time_start or time.time()
            published_at = headers.get(PUBLISHED_AT) or started_at
            counts.count_start(
                self._key,
                wait_seconds=wait_seconds(published_at=published_at, started_at=started_at, eta=headers.get("eta")),
            )

    def __init_subclass__(cls, **options: Any) -> None:
        """Count in `on_success` too: Celery makes a class for each task that overrides it and does not call ours."""
        super().__init_subclass__(**options)
        if "on_success" in vars(cls):
            cls.on_success = _counting(cls.on_success)  # type: ignore[method-assign]

    def on_end(self, error: BaseException | None, seconds: float) -> None:
        """Count what ran to its end, in an error or well, before it is acknowledged."""
        first_runs.note_end(self.name, seconds, is_first=self.is_first_run)
        counts = _counts(self.app)
        if counts is not None:
            counts.count_duration(self._key, seconds, is_first_run=self.is_first_run)
            if error is None:
                counts.count_success(self._key)
                self._is_counted = True

    def on_retry(self, exc_info: Any) -> None:
        """Count a retry."""
        counts = _counts(self.app)
        if counts is not None and not self._is_counted:
            counts.count_retry(self._key)
            self._is_counted = True
        super().on_retry(exc_info)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Count a failure, unless the task goes back to its queue."""
        result = super().on_failure(exc_info, *args, **options)
        error = unwrapped(exc_info.exception)
        self._count_failure(is_final=not isinstance(error, Retry | Ignore | Terminated))
        return result

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Count a task that was killed for its time limit."""
        super().on_timeout(soft, timeout)
        self._count_failure(is_final=not soft)

    def reject(self, requeue: bool = False) -> None:
        """Reject, and remember that the task goes back."""
        self._is_requeued = requeue
        super().reject(requeue=requeue)

    def _count_failure(self, *, is_final: bool) -> None:
        counts = _counts(self.app)
        if counts is not None and is_final and not self._is_requeued and not self._is_counted:
            counts.count_failure(self._key)
            self._is_counted = True

    @cached_property
    def _key(self) -> Key:
        fleet: Fleet | None = getattr(self.app, "fleet", None)
        queue = str(self.delivery_info.get("routing_key"))
        tier = fleet.tier_of_queue(queue) if fleet else None
        return Key(tier.name if tier else NO_TIER, self.name)


def unwrapped(error: BaseException) -> BaseException:
    """Return the error itself: where nothing is pickled (threads, solo) billiard's wrapper is still around it."""
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _counting(on_success: Any) -> Any:
    def run(self: MeteredRequest, failed__retval__runtime: Any, **options: Any) -> Any:
        failed, result, seconds = failed__retval__runtime
        if seconds is None:  # Celery times only what ended well
            seconds = time.time() - (self.time_start or time.time())
        self.on_end(unwrapped(result.exception) if failed else None, seconds)
        return on_success(self, failed__retval__runtime, **options)

    return run


def _counts(app: Any) -> Counts | None:
    return getattr(app, "counts", None)
