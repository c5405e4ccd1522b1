"""Let a forked process use what a thread of its parent was using when it was forked.

Kombu guards each cached property by a lock. A pool grows while another thread of the worker reads how long the queues
are; a child that was forked while that thread connected would wait for its lock until its task's time limit.
"""

import os
from threading import RLock
from typing import Any

from celery.signals import worker_before_create_process
from kombu.utils.objects import cached_property

_guarded: list[Any] = []


def connect() -> None:
    """Do so in worker processes. Connecting twice changes nothing."""
    worker_before_create_process.connect(_watch_locks_once, dispatch_uid="deploytools.forks", weak=False)


def _watch_locks_once(**_: Any) -> None:
    # Before the first fork: to look at a class writes to its memory, and what is written later is shared no more.
    # Not from the collector: it does not tell of what `memory` has frozen.
    if not _guarded:
        _guarded.extend(
            each for cls in _below(object) for each in vars(cls).values() if isinstance(each, cached_property)
        )
        os.register_at_fork(after_in_child=_renew_locks)


def _below(base: type) -> set[type]:
    """Return all classes that are based on one."""
    found: set[type] = set()
    rest = [base]
    while rest:
        new: set[type] = set(type.__subclasses__(rest.pop())) - found
        found |= new
        rest += new
    return found


def _renew_locks() -> None:
    for each in _guarded:
        each.lock = RLock()
