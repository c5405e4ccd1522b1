"""The broker without Docker: one a project, and nothing it accepted is lost."""

import os
import signal
import sys
from threading import Timer

from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until


def test_commands_started_at_once_start_one_server(project: ProjectUnderTest) -> None:
    ups = [project.start_command("broker.up") for _ in range(4)]

    codes = [up.wait() for up in ups]

    assert codes == [0, 0, 0, 0]
    assert sum(up.log().startswith("started") for up in ups) == 1
    assert sum(up.log().startswith("runs already") for up in ups) == 3


def test_a_server_that_hangs_gets_no_second_one_beside_it(project: ProjectUnderTest) -> None:
    project.broker.start()
    pid = project.broker.pid()
    os.kill(pid, signal.SIGSTOP)
    wakes = Timer(3, os.kill, (pid, signal.SIGCONT))  # longer than a knock waits for its answer
    wakes.start()

    started = project.broker.start()

    wakes.join()
    assert not started
    assert project.broker.pid() == pid


def test_only_its_owner_can_open_its_socket(project: ProjectUnderTest) -> None:
    project.broker.start()

    mode = project.broker.socket_path.stat().st_mode & 0o777

    assert mode == 0o700
    assert project.broker.client().config_get("port") == {"port": "0"}


def test_a_killed_server_still_has_every_task_it_accepted(project: ProjectUnderTest) -> None:
    publish = """
from app.tasks import cleanup
for _ in range(200):
    cleanup.expire.delay()
    print("accepted", flush=True)
"""
    project.broker.start()
    publisher = project.start([sys.executable, "-c", publish])
    publisher.wait_for_log("accepted", times=20)

    os.kill(project.broker.pid(), signal.SIGKILL)
    wait_until(lambda: not project.broker.is_running(), "the server to be gone")
    publisher.kill_all()
    project.broker.start()

    accepted = publisher.log().count("accepted")
    assert accepted <= project.depth("low_priority") <= accepted + 1


def test_what_is_queued_survives_down_and_up(project: ProjectUnderTest) -> None:
    project.command("broker.up")
    project.run(sys.executable, "-c", "from app.tasks import storage; storage.put.delay({'upload': '0' * 32})")

    down = project.command("broker.down")
    project.command("broker.up")

    assert down.stdout == "stopped\n"
    assert project.depth("medium_priority") == 1
