"""What can go wrong outside: what is worth another try, and what is not."""


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
