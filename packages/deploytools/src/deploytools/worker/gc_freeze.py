"""Keep a worker's processes sharing the memory of what was imported once.

Python's cycle collector writes into the header of every object it looks at. In a forked child each such write copies a
page, so children drift apart from their parent within minutes. Objects that exist before the first fork are moved to
the collector's permanent generation, which it never looks at.
"""

import gc
from typing import Any

from celery.signals import worker_before_create_process

_frozen = False


def connect() -> None:
    """Freeze what exists before the first child is forked. Connecting twice changes nothing."""
    worker_before_create_process.connect(_freeze_once, dispatch_uid="deploytools.freeze", weak=False)


def _freeze_once(**_: Any) -> None:
    global _frozen  # noqa: PLW0603 — one collector a process, one freeze
    if not _frozen:
        _frozen = True
        gc.collect()
        gc.freeze()
