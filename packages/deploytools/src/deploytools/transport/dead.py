"""Messages that nobody can or may run any more, as records in the list `<queue>.dead`."""

import json
import time
from enum import StrEnum

SUFFIX = ".dead"


class Reason(StrEnum):
    """Why a message is a dead letter."""

    UNREADABLE = "unreadable"  # cannot be decoded or dispatched
    UNKNOWN_TASK = "unknown task"  # no worker of the queue has it
    INVALID = "invalid"  # a task message whose parts contradict its protocol, or of a content type not accepted
    EXHAUSTED = "retries exhausted"  # failed once more after its last retry
    DELIVERY_LIMIT = "delivery limit"  # its worker died, or gave it back, too often
    REJECTED = "rejected"  # by the task itself, or a retry that could not be published


def dead_queue(queue: str) -> str:
    """Return the list where a queue's dead letters lie."""
    return f"{queue}{SUFFIX}"


def dead_letter(queue: str, raw: bytes | str, reason: Reason, error: str) -> str:
    """Return the record of a message: why, when (epoch seconds), from which queue, and its bytes as they were."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return json.dumps({"reason": reason, "error": error, "queue": queue, "at": time.time(), "raw": text})
