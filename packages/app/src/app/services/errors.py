"""What can go wrong outside: what is worth another try, and what is not."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# HTTP's status codes that are worth another try although they are the caller's errors by number: it took too long, is
# in conflict with another, is too early, is one of too many.
RETRIED = frozenset({408, 409, 425, 429})


class TransientError(Exception):
    """Try again later; not before `after_seconds`, if the other side said so."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message, after_seconds)
        self.after_seconds = after_seconds

    def __str__(self) -> str:
        return str(self.args[0])


class PostponedError(Exception):
    """Nothing went wrong: a limit says not now, but after `after_seconds`."""

    def __init__(self, message: str, after_seconds: float) -> None:
        super().__init__(message, after_seconds)
        self.after_seconds = after_seconds

    def __str__(self) -> str:
        return str(self.args[0])


class PermanentError(Exception):
    """Trying again would give the same: the request itself is refused."""


def http_error(message: str, status: int, retry_after: str | None = None) -> TransientError | PermanentError:
    """Return what a status of 400 and above means; `retry_after` is the answer's header."""
    if status < 500 and status not in RETRIED:
        return PermanentError(message)
    return TransientError(message, _retry_after_seconds(retry_after))


def _retry_after_seconds(header: str | None) -> float | None:
    if not header:
        return None
    try:
        return float(header)
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
