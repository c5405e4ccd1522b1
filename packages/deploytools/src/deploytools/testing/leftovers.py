"""Remove what a test process left: processes, embedded brokers, containers, folders."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from deploytools.testing.identity import find_process, is_alive

STOP_DEADLINE_SECONDS = 5.0


def kill_session(leader: str) -> None:
    """Kill every process of a session or process group, those that they start meanwhile included.

    While one of them is there no other program gets the id of their leader.
    """
    pid, killed = int(leader.partition("-")[0]), set[int]()
    if psutil.pid_exists(pid) and not find_process(leader):
        return
    while new := _members(pid) - killed:
        for member in new:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        killed |= new


def _members(leader: int) -> set[int]:
    found = set()
    for pid in psutil.pids():
        with suppress(OSError):  # it has ended, or is somebody else's
            if leader in (os.getsid(pid), os.getpgid(pid)):
                found.add(pid)
    return found


def stop_brokers(state: str) -> None:
    """Stop the embedded brokers of a state folder, and of those in it. A broker that is asked to removes its socket."""
    servers = []
    for path in Path(state).rglob("broker/valkey.pid"):
        with suppress(psutil.NoSuchProcess, ValueError):
            server = psutil.Process(int(path.read_text()))
            if server.cwd() == str(path.parent):  # else its id has become another program's
                server.terminate()
                server.resume()  # a test may have stopped it
                servers.append(server)
    for server in psutil.wait_procs(servers, timeout=STOP_DEADLINE_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            server.kill()


def remove_compose_project(name: str) -> None:
    """Remove the containers, networks and volumes of a project of `docker compose`."""
    from deploytools.deploy.docker import Docker

    Docker(project=("--project-name", name)).compose("down", "--volumes", "--timeout", "0")


def remove_run(session: str, folder: str) -> None:
    """Remove the containers and the folder of a pytest run, unless it goes on or has done so itself."""
    from deploytools.testing.containers import engine_is_there, remove_containers

    if is_alive(session) or not Path(folder).exists():
        return
    if engine_is_there():
        remove_containers(session)
    shutil.rmtree(folder, ignore_errors=True)
