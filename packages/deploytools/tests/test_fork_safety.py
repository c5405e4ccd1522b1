"""What a child of a growing pool may use, whatever its parent's threads were doing."""

import gc
import os
import signal
import time
from collections.abc import Callable
from threading import Event, Lock, Thread

import pytest
from celery.signals import worker_before_create_process
from kombu.utils.objects import cached_property

from deploytools import fork_safety
from deploytools.testing.waiting import wait_until


class Slow:
    reached, go_on = Event(), Event()

    @cached_property
    def client(self) -> int:
        if not self.reached.is_set():
            self.reached.set()
            self.go_on.wait(10)
        return 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads is what this is about
@pytest.mark.timeout(20)
def test_a_child_can_connect_although_a_thread_was_connecting_when_it_was_forked() -> None:
    gc.freeze()  # as `memory` does in a worker
    fork_safety.connect()
    worker_before_create_process.send(sender=None)
    gc.unfreeze()
    thread = Thread(target=lambda: Slow().client)
    thread.start()
    Slow.reached.wait(10)

    try:
        status = end_of_child(lambda: Slow().client - 1)  # without a lock of its own it would wait for ever
    finally:
        Slow.go_on.set()
        thread.join()

    assert status == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.timeout(20)
def test_a_child_is_not_forked_while_a_thread_holds_what_nobody_could_renew() -> None:
    guard, busy, is_over = fork_safety.guard(), Lock(), Event()

    def work() -> None:
        while not is_over.is_set():
            with guard, busy:
                time.sleep(0.005)  # what a thread does under such a lock: 5 ms of it, and 1 ms without
            time.sleep(0.001)

    thread = Thread(target=work)
    thread.start()
    try:
        ends = [end_of_child(lambda: not busy.acquire(timeout=5)) for _ in range(10)]
    finally:
        is_over.set()
        thread.join()

    assert ends == [0] * 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.timeout(20)
def test_a_thread_that_waits_for_the_network_does_not_keep_its_process_from_forking() -> None:
    with fork_safety.guard():
        assert end_of_child(lambda: 0) == 0


def end_of_child(run: Callable[[], int]) -> int:
    """Fork, and return the exit status of a child that exits with what `run` returns."""
    child = os.fork()
    if child == 0:
        os._exit(run())
    try:
        ending = os.WEXITED | os.WNOHANG | os.WNOWAIT
        wait_until(lambda: os.waitid(os.P_PID, child, ending), "the child to end", deadline_seconds=10)
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return status
