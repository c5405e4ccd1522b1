"""The whole fleet in one terminal: everything is there, comes back when killed, and ends as asked."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Any

import psutil

from deploytools.commands import Command
from deploytools.project import Project
from deploytools.services import Service
from deploytools.supervisor import Supervisor
from deploytools.testing.processes import Running
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until

TIERS = {"high": ("high_priority", 4), "medium": ("medium_priority", 6), "low": ("low_priority", 2)}


def start_up(project: ProjectUnderTest, *, tiers: int) -> Running:
    up = project.start_command("up")
    up.wait_for_log(" ready.", times=tiers)
    up.wait_for_log("beat: Starting...")
    return up


def programs(up: Running) -> list[psutil.Process]:
    """Return what it supervises."""
    found = []
    for child in psutil.Process(up.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            found += [child] if "deploytools.celery" in child.cmdline() else []
    return found


def nap(shop: ProjectUnderTest, up: Running, *, seconds: int) -> None:
    """Publish a task of some seconds and wait until it runs."""
    done = shop.run(sys.executable, "-c", f"import shop; shop.nap.delay({seconds})")
    assert done.returncode == 0, done.stderr
    up.wait_for_log("nap starts")


def test_every_tier_is_there_with_its_queue_processes_and_depth(project: ProjectUnderTest) -> None:
    start_up(project, tiers=3)

    def all_seen() -> dict[str, Any]:  # a reply that takes more than a second is none
        found: dict[str, Any] = project.snapshot()["tiers"]
        assert {name: (tier["queue"]["name"], tier["processes"]) for name, tier in found.items()} == TIERS
        return found

    tiers = wait_until(all_seen, "all processes to be seen", deadline_seconds=20)
    assert {name: tier["queue"]["depth"] for name, tier in tiers.items()} == dict.fromkeys(TIERS, 0)
    for command in ("inspect", "stats", "queues"):
        shown = project.command(command, COLUMNS="200").stdout
        assert [name for name in TIERS if name in shown] == list(TIERS)


def test_whatever_is_killed_comes_back_and_nothing_else_notices(shop: ProjectUnderTest) -> None:
    up = start_up(shop, tiers=2)
    before = [program.pid for program in programs(up)]

    for victim in (*before, shop.broker.pid()):
        os.kill(victim, signal.SIGKILL)
        wait_until(partial(is_whole, shop, up, gone=victim), f"the fleet to be whole again without {victim}")

    assert len(before) == 3
    assert up.log().count(" ended with ") == len(before)


def is_whole(shop: ProjectUnderTest, up: Running, *, gone: int) -> bool:
    pids = {program.pid for program in programs(up)}
    assert gone not in pids
    assert len(pids) == 3
    assert shop.broker.is_running()
    tiers = shop.snapshot()["tiers"]
    assert {name: len(tier["workers"]) for name, tier in tiers.items()} == {"counter": 1, "store_room": 1}
    return True


def test_a_task_whose_process_is_killed_runs_again(shop: ProjectUnderTest) -> None:
    up = start_up(shop, tiers=2)
    nap(shop, up, seconds=3)
    process = int(up.log().partition("nap starts in ")[2].split()[0])

    os.kill(process, signal.SIGKILL)

    up.wait_for_log("slept 3")
    assert up.log().count("nap starts") == 2


def test_ctrl_c_lets_running_tasks_finish_and_leaves_nothing_behind(shop: ProjectUnderTest) -> None:
    up = start_up(shop, tiers=2)
    nap(shop, up, seconds=3)
    below = up.children()

    up.signal(signal.SIGINT)

    assert up.wait() == 0
    assert "slept 3" in up.log()
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert not shop.broker.socket_path.exists()


def test_a_second_ctrl_c_gives_running_tasks_back(shop: ProjectUnderTest) -> None:
    up = start_up(shop, tiers=2)
    nap(shop, up, seconds=300)

    up.signal(signal.SIGINT)
    up.wait_for_log("Warm shutdown", times=2)
    up.signal(signal.SIGINT)

    assert up.wait() == 0
    shop.broker.start()
    assert shop.depth("store-room") == 1


def test_workers_finish_their_tasks_and_the_broker_stops_when_their_supervisor_is_killed(
    shop: ProjectUnderTest,
) -> None:
    up = start_up(shop, tiers=2)
    nap(shop, up, seconds=3)
    below = up.children()

    up.signal(signal.SIGKILL)

    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert not shop.broker.socket_path.exists()
    shop.broker.start()
    assert shop.depth("store-room") == 0
    assert shop.broker.client().hlen("unacked") == 0


def test_a_broker_that_was_there_before_stays_when_the_supervisor_is_killed(shop: ProjectUnderTest) -> None:
    shop.command("broker.up")
    up = start_up(shop, tiers=2)
    below = up.children()

    up.signal(signal.SIGKILL)

    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert shop.broker.is_running()


def test_a_program_whose_child_keeps_its_output_open_is_started_again_and_stopped(shop: ProjectUnderTest) -> None:
    leaves_a_child = Command(argv=("/bin/sh", "-c", "sleep 5 & echo ends; exit 1"))
    service = Service(name="leaky", command=leaves_a_child, grace_seconds=1, cold_shutdown_signal=signal.SIGTERM)
    output = StringIO()

    async def run() -> None:
        supervisor = Supervisor(
            services=[service],
            project=Project(root=shop.root, fleet_path=shop.root / "fleet.toml", state=shop.state),
            output=output,
        )
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(30):
            while output.getvalue().count("leaky ended with 1") < 2:
                await asyncio.sleep(0.05)
            supervisor.stop()
            await running

    asyncio.run(run())

    assert "ends" in output.getvalue()
