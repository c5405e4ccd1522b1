"""Reject, with the reason, what stock Celery would acknowledge and so delete: it becomes a dead letter.

That is messages whose body cannot be decoded, and tasks that fail once more after their last retry. What stock rejects
already (unknown tasks, invalid messages, tasks that reject themselves) gets its reason told too. On RabbitMQ the
dead-letter exchange takes them.
"""

import logging
from typing import Any

import msgspec
from celery import bootsteps
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry
from celery.worker import consumer
from celery.worker.consumer.connection import Connection

from deploytools.transport.dead import Reason
from deploytools.worker.completion_reports import report_end
from deploytools.worker.metered_request import MeteredRequest, unwrapped
from deploytools.worker.signing import Signing

logger = logging.getLogger(__name__)


class Headers(msgspec.Struct):
    """What Celery relies on in a task message's headers, beyond what it checks itself.

    A wrong one is found out when a process is free for the task, in the middle of the event loop: it ends the worker,
    and the next one that gets the message.
    """

    id: str
    task: str
    retries: int | None = 0
    timelimit: tuple[float | None, float | None] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    shadow: str | None = None
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: dict[str, Any] | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    reply_to: str | None = None
    correlation_id: str | None = None


class Request(MeteredRequest):
    """A task whose headers are checked, and whose failure is a rejection if it was retried before.

    For the latter it must acknowledge late.
    """

    _exhausted: BaseException | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            msgspec.convert(self.request_dict, Headers)
        except msgspec.ValidationError as error:
            raise InvalidTaskError(str(error)) from None
        self._signing: Signing | None = getattr(self.app, "signing", None)
        if self._signing:
            self._signing.check(self.message)
        self.count_submission()

    def on_end(self, error: BaseException | None, seconds: float) -> None:
        """Note what ran to its end, before it is acknowledged."""
        super().on_end(error, seconds)
        report_end(self, error, seconds)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Handle a failure; Celery raises a retry as one too."""
        error = unwrapped(exc_info.exception)
        # Celery raises one for a task too: when its retry could not be published.
        rejection: Any = error if isinstance(error, Reject) else None
        if rejection and not rejection.requeue and not self.acknowledged:
            note_reason(self.app, self.message, Reason.REJECTED, repr(rejection.reason))
        if self.request_dict.get("retries") and not isinstance(error, Retry | Ignore | Reject):
            self._exhausted = error
        return super().on_failure(exc_info, *args, **kwargs)

    def acknowledge(self) -> None:
        """Acknowledge, or reject what has failed for good."""
        if self._exhausted is None or self.acknowledged:
            if self._signing and not self.acknowledged:
                self._signing.note(self.message)
            super().acknowledge()
        else:
            note_reason(self.app, self.message, Reason.EXHAUSTED, repr(self._exhausted))
            self.reject(requeue=False)


class Consumer(consumer.Consumer):
    """Celery's consumer, which tells the transport why it rejects."""

    connection_errors: Any
    pool: Any

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Say which tasks run before the channel requeues those that do not: see `FastReapPool.flush`."""
        if self.pool is not None and getattr(self.pool, "flush", None):
            self.pool.flush()
        super().on_connection_error_after_connected(exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Reject a task this worker does not have."""
        note_reason(self.app, message, Reason.UNKNOWN_TASK, str(message.headers.get("task") or exc))
        super().on_unknown_task(body, message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Reject a message that is no task."""
        note_reason(self.app, message, Reason.INVALID, "it names no task")
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Any) -> None:
        """Reject a message that contradicts its protocol."""
        note_reason(self.app, message, Reason.INVALID, repr(exc))
        super().on_invalid_task(body, message, exc)

    def on_decode_error(self, message: Any, exc: Any) -> None:
        """Reject a message whose body cannot be decoded; stock acknowledges it."""
        logger.critical("cannot decode a message (%r): it is a dead letter now", exc)
        note_reason(self.app, message, Reason.UNREADABLE, repr(exc))
        message.reject_log_error(logger, self.connection_errors)


class DeadLetterQueues(bootsteps.StartStopStep):
    """Declares, on RabbitMQ, the queues that rejected messages go to: without them it drops what is rejected."""

    requires = (Connection,)

    def include_if(self, consumer: Any) -> bool:
        """Only where queues name such a queue."""
        return bool(_dead_letter_queues(consumer.app))

    def start(self, consumer: Any) -> None:
        """Declare them before anything is consumed."""
        with consumer.connection.channel() as channel:
            for name in _dead_letter_queues(consumer.app):
                channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})


def _dead_letter_queues(app: Any) -> list[str]:
    arguments = [queue.queue_arguments or {} for queue in app.conf.task_queues]
    return [one["x-dead-letter-routing-key"] for one in arguments if "x-dead-letter-routing-key" in one]


def note_reason(app: Any, message: Any, reason: Reason, error: str) -> None:
    """Count a message that is about to be rejected, and tell our transport why; others have no place for it."""
    counts = getattr(app, "counts", None)
    if counts is not None:
        counts.count_rejected(reason.value)
    reasons = getattr(getattr(message.channel, "qos", None), "reasons", None)
    if reasons is not None:
        reasons[message.delivery_tag] = (reason, error)
