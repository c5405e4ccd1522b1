"""Messages that cannot be handled, as records in the list `<queue>.dead`."""

import json
import time

SUFFIX = ".dead"


def dead_queue(queue: str) -> str:
    """Return the list where a queue's dead letters lie."""
    return f"{queue}{SUFFIX}"


def dead_letter(queue: str, raw: bytes | str, error: str) -> str:
    """Return the record of a message: why, when, from which queue, and its bytes as they were."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return json.dumps({"error": error, "queue": queue, "at": time.time(), "raw": text})
