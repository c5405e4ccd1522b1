"""How tasks are tried again: transient errors with growing, random delays, limits without end, the rest not at all."""

import random
from typing import Any

from celery import Task
from celery.exceptions import Retry
from celery.utils.log import get_task_logger

from app.services.errors import PostponedError, TransientError
from app.settings import settings

logger = get_task_logger(__name__)

MAX_DELAY_SECONDS = 60


class ServiceTask(Task[..., Any]):
    """A task that talks to something that may be away, slow, or limited. While it waits, it holds no process."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run; on a transient error send it again, to be run later, or after the last try let the error stand."""
        try:
            return super().__call__(*args, **kwargs)
        except TransientError as error:
            raise self.retry(
                exc=error, countdown=self._delay_seconds(error), max_retries=settings().tries - 1
            ) from error
        except PostponedError as error:
            self._postpone(error)

    def _delay_seconds(self, error: TransientError) -> float:
        # Anywhere in a time that doubles: those who failed together do not come back together.
        longest_seconds = min(settings().retry_seconds * 2**self.request.retries, MAX_DELAY_SECONDS)
        return max(random.uniform(0, longest_seconds), error.after_seconds or 0.0)  # noqa: S311 — no secret

    def _postpone(self, error: PostponedError) -> None:
        # Not `self.retry`: having to wait for others is no failure, and is not counted as one.
        if self.request.called_directly:
            raise error
        logger.info("postponed for %.1f s: %s", error.after_seconds, error)
        again = self.signature_from_request(self.request, countdown=error.after_seconds, retries=self.request.retries)
        again.apply_async()
        raise Retry(str(error), when=error.after_seconds)  # type: ignore[arg-type]
