"""What a file system that fsspec knows says when it cannot be reached."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.services.errors import TransientError

# Libraries below fsspec whose errors are about the way to the files, not about the files.
UNREACHABLE = frozenset({"aiobotocore", "aiohttp", "botocore"})


@contextmanager
def reached() -> Iterator[None]:
    """Turn what a broken connection, a timeout or a full disk raises into TransientError; a missing file stays one."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise TransientError(f"files: {type(error).__name__}: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in UNREACHABLE:
            raise TransientError(f"files: {type(error).__name__}: {error}") from error
        raise
