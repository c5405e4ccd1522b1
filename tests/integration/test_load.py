"""Load runs: what they report is true, and a broken promise fails them."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from statistics import median

import psutil
import pytest

from deploytools import load as load_package
from deploytools.load.histogram import histogram, quantile_seconds
from deploytools.load.profile import Profile, Saturate, Stream
from deploytools.load.session import LoadSession
from deploytools.load.workload import TaskTemplate, Workload
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.processes import Running
from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import DEADLINE_SECONDS, wait_until
from deploytools.worker.synthetic import SERVE

SERVICE_SECONDS, RUN_SECONDS, STOPPED_SECONDS, PER_SECOND, PROCESSES = 0.05, 20.0, 2.0, 20.0, 8

OPEN = ("--web-host=0.0.0.0", "--master-bind-host=0.0.0.0")


@pytest.mark.only_on("redis")
def test_a_reported_wait_is_what_the_schedule_implies(shop_fleet: FleetUnderTest) -> None:
    """A worker stands still for two seconds. A closed loop would send nothing meanwhile, and report no wait."""
    worker = shop_fleet.start_dev(concurrency=PROCESSES)
    session = LoadSession(
        app=shop_fleet.app,
        fleet=shop_fleet.fleet,
        profile=Profile(name="even", tightest=Stream(per_second=PER_SECOND, even=True), others=Saturate(), seconds=0),
        workload=Workload(
            offers=(TaskTemplate(task=SERVE, make_arguments=lambda _: (SERVICE_SECONDS,), queue="counter"),)
        ),
        on_publish=lambda *_: None,
        on_report=lambda _: None,
    )
    session.start()
    sending = threading.Thread(target=session.offer, args=(shop_fleet.fleet.tier("counter"),), kwargs={"seed": 1})
    sending.start()
    time.sleep(RUN_SECONDS / 4)
    os.killpg(worker.program.pid, signal.SIGSTOP)
    time.sleep(STOPPED_SECONDS)
    os.killpg(worker.program.pid, signal.SIGCONT)
    time.sleep(RUN_SECONDS - RUN_SECONDS / 4 - STOPPED_SECONDS)
    session.drain()
    sending.join()

    samples = sorted(session.account.samples.values(), key=lambda sample: sample.intended_at)
    assert all(sample.state == "SUCCESS" for sample in samples)
    starts = {entry.id: entry.at for entry in shop_fleet.ledger.entries("started")}  # the worker's own trace
    schedule = [samples[0].intended_at + number / PER_SECOND for number in range(len(samples))]
    implied = [starts[sample.id] - at for sample, at in zip(samples, schedule, strict=True)]
    reported = [sample.wait_seconds or 0 for sample in samples]
    assert p99(reported) == pytest.approx(p99(implied), rel=0.05)
    assert p99(reported) > 0.85 * STOPPED_SECONDS  # what stood still is not left out
    # Task by task: errors of one sign do not cancel those of the other. A start is reported when a process accepts the
    # task, 0.18 ms before its body runs.
    assert median(abs(told - seen) for told, seen in zip(reported, implied, strict=True)) < 0.001


def p99(seconds: list[float]) -> float:
    return quantile_seconds(histogram(seconds), 99) or 0


def test_a_smoke_run_starts_a_fleet_reports_and_leaves_nothing_running(project: ProjectUnderTest) -> None:
    done = project.command("load.run", "smoke", "--seconds", "3")

    [page] = (project.state / "load").glob("*-smoke.html")
    run = json.loads(page.with_suffix(".json").read_text())
    assert done.returncode == bool(run["problems"]), done.stderr  # a busy machine may be too slow for the promises
    assert {tier["name"]: tier["lost"] for tier in run["tiers"]} == {"high": 0, "medium": 0, "low": 0}
    assert all(tier["sent"] == tier["done"] for tier in run["tiers"])
    assert run["tiers"][0]["sent"] > 0
    assert not project.broker.is_running()


def test_a_run_of_two_processes_has_one_account(project: ProjectUnderTest) -> None:
    done = project.command("load.run", "smoke", "--seconds", "4", "--times", "3", "--processes", "2")

    [saved] = (project.state / "load").glob("*-smoke.json")
    run = json.loads(saved.read_text())
    tiers = run["tiers"]
    assert done.returncode == bool(run["problems"]), done.stderr
    assert all(tier["sent"] == tier["done"] > 0 for tier in tiers)
    # 48 are expected if each tier is offered once, 96 if by each process; of either, one run in 10,000 goes beyond 76.
    assert sum(tier["sent"] for tier in tiers) < 76


def test_one_shared_worker_breaks_the_tightest_promise_under_a_flood(project: ProjectUnderTest) -> None:
    project.start_command("worker.dev").wait_for_log(" ready.")

    done = project.command("load.run", "flood", "--seconds", "5", "--synthetic", "0.3")

    assert done.returncode == 1, done.stderr
    assert "tier high: wait p99 is" in done.stderr
    assert "x the promise of 0.5 s" in done.stderr


def test_a_run_whose_saturating_process_dies_says_so_and_calls_nothing_lost(project: ProjectUnderTest) -> None:
    project.start_command("worker.dev").wait_for_log(" ready.")
    run = project.start_command("load.run", "flood", "--seconds", "6", "--synthetic", "0.05")
    run.wait_for_log("All users spawned")

    offloaded(run).kill()

    assert run.wait(deadline_seconds=DEADLINE_SECONDS) == 1, run.log()
    assert "the process that prepares and saturates ended with -9" in run.log()
    assert "never heard of" not in run.log()


def test_what_sends_ends_with_a_run_that_is_killed(project: ProjectUnderTest) -> None:
    project.start_command("worker.dev").wait_for_log(" ready.")
    run = project.start_command("load.run", "flood", "--seconds", "60", "--synthetic", "0.05")
    run.wait_for_log("All users spawned")
    below = run.children()
    assert offloaded(run) in below

    run.signal(signal.SIGKILL)

    wait_until(lambda: not [process for process in below if process.is_running()], "the end of what the run started")


@pytest.mark.parametrize(("options", "address"), [((), "127.0.0.1"), (OPEN, "0.0.0.0")])  # noqa: S104
def test_locusts_page_and_master_are_on_loopback_unless_another_address_is_given(
    project: ProjectUnderTest, free_port: int, options: tuple[str, ...], address: str
) -> None:
    locustfile = Path(load_package.__file__).with_name("locustfile.py")
    ports = (f"--web-port={free_port}", f"--master-bind-port={free_port + 1}")
    page = project.start((sys.executable, "-m", "locust", "-f", str(locustfile), "--master", *ports, *options))

    def listens() -> list[str]:
        connections = psutil.Process(page.pid).net_connections("tcp")
        return [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN]

    wait_until(lambda: listens() == [address, address], f"Locust to listen on {address}, twice")
    assert ("can start load runs" in page.log()) == bool(options)


def offloaded(run: Running) -> psutil.Process:
    """Return the process that makes arguments and saturates tiers."""
    [found] = [process for process in run.children() if "deploytools.load.offloaded" in process.cmdline()]
    return found


def test_an_unknown_profile_is_one_clear_line(project: ProjectUnderTest) -> None:
    done = project.command("load.run", "flod")

    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "load.run flod: no such profile: use one of smoke, steady, burst, flood, soak, failover"
    ]
