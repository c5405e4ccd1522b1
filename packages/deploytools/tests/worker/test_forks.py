"""What a child of a growing pool may use, whatever its parent's threads were doing."""

import gc
import os
import signal
from threading import Event, Thread

import pytest
from celery.signals import worker_before_create_process
from kombu.utils.objects import cached_property

from deploytools.testing.waiting import wait_until
from deploytools.worker import forks


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
    forks.connect()
    worker_before_create_process.send(sender=None)
    gc.unfreeze()
    thread = Thread(target=lambda: Slow().client)
    thread.start()
    Slow.reached.wait(10)

    child = os.fork()
    if child == 0:
        os._exit(Slow().client - 1)  # without a lock of its own it would wait for ever
    try:
        ending = os.WEXITED | os.WNOHANG | os.WNOWAIT
        wait_until(lambda: os.waitid(os.P_PID, child, ending), "the child to end", deadline_seconds=10)
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        Slow.go_on.set()
        thread.join()

    assert status == 0
