"""Let a forked process use what a thread of its parent was using when it was forked.

A child has one thread, the one that forked. A lock that another thread held stays held in it for ever, and a child that
needs it waits until its task's time limit. Two of a worker's threads ask the broker beside its event loop; so a fork
waits, a moment, until neither is in the middle of something. What takes them longer is the network: then they hold no
lock but kombu's, one a cached property, and those a child gets anew.
"""

import os
import time
from _thread import LockType
from threading import Lock, RLock
from typing import Any
from weakref import WeakSet

from celery.signals import worker_before_create_process
from kombu.utils.objects import cached_property

# Some commands to a broker that is near. An event loop may stand still for so long.
MAX_WAIT_SECONDS = 0.05

_guards: WeakSet[LockType] = WeakSet()
_held: list[LockType] = []
_cached: list[Any] = []


def guard() -> LockType:
    """Return a lock for one thread: while the thread holds it, this process is not forked, if it holds it shortly.

    What is protected are locks that nobody else can get at: a connection pool's of redis-py, those of `getaddrinfo`.
    """
    lock = Lock()
    _guards.add(lock)
    return lock


def connect() -> None:
    """Renew kombu's locks in the children of workers. Connecting twice changes nothing."""
    worker_before_create_process.connect(_watch_locks_once, dispatch_uid="deploytools.fork_safety", weak=False)


def _wait_for_threads() -> None:
    give_up_at = time.monotonic() + MAX_WAIT_SECONDS
    _held.extend(each for each in list(_guards) if each.acquire(timeout=max(0.0, give_up_at - time.monotonic())))


def _go_on() -> None:
    while _held:
        _held.pop().release()


def _forget_threads() -> None:
    _held.clear()
    _guards.clear()


os.register_at_fork(before=_wait_for_threads, after_in_parent=_go_on, after_in_child=_forget_threads)


def _watch_locks_once(**_: Any) -> None:
    # Before the first fork: to look at a class writes to its memory, and what is written later is shared no more.
    # Not from the collector: it does not tell of what `memory` has frozen.
    if not _cached:
        _cached.extend(
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
    for each in _cached:
        each.lock = RLock()
