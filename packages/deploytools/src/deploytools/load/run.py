"""Run a profile without Locust's page: on the fleet that runs, or on one started for it."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from threading import Event

from deploytools.app import load_app
from deploytools.broker.choice import ready_broker
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.errors import VerdictError
from deploytools.fleet import Fleet
from deploytools.inspect.snapshot import worker_names
from deploytools.load.demo import wait_for_workers
from deploytools.load.profile import PROFILES
from deploytools.load.report import write_report
from deploytools.load.run_lock import hold_run_lock
from deploytools.load.workload import load_workload_provider
from deploytools.project import Project
from deploytools.services import worker_services
from deploytools.settings import current_project, current_settings, environment_with
from deploytools.supervised import supervised
from deploytools.supervisor import Supervisor

ASK_TIMES = 3
GENERATORS_SECONDS = "120"  # how long Locust waits for its processes: one that could not prepare has ended
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def run_profile(name: str, *, seconds: float | None, synthetic_seconds: float, times: float, processes: int) -> Path:
    """Run a profile; return its HTML report, beside its JSON. Raise VerdictError if it does not pass.

    Raise WorkloadError where the project declares no tasks to offer, RunInProgressError beside another run.
    """
    project = current_project()
    fleet, folder = project.fleet(), project.state / "load"
    if not synthetic_seconds:
        load_app(project, fleet)  # the workload's module is in the same folder
        load_workload_provider(fleet)
    result = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{name}.json"
    argv = locust_argv(
        name,
        result=result,
        seconds=ceil(seconds or PROFILES[name].seconds),
        synthetic_seconds=synthetic_seconds,
        times=times,
        processes=processes,
    )
    with hold_run_lock(project.state):
        folder.mkdir(exist_ok=True)
        code = _run_with_broker(project, fleet, argv)
    if not result.exists():
        raise VerdictError(f"the run ended with {code} before it had a result: its log is above")
    report, problems = write_report(result)
    if problems:
        raise VerdictError(f"{'; '.join(problems)}: see {report}")
    return report


def _run_with_broker(project: Project, fleet: Fleet, argv: list[str]) -> int:
    settings, broker = current_settings(), EmbeddedBroker(state=project.state)
    if settings.broker_url:
        ready_broker(settings, project)
    started_here = not settings.broker_url and broker.start(until_exit=True)
    try:
        return (
            _run_locust(project, argv) if fleet_runs(project, fleet) else asyncio.run(_with_fleet(project, fleet, argv))
        )
    finally:
        if started_here:
            broker.stop()


def locust_argv(
    name: str, *, result: Path, seconds: int, synthetic_seconds: float, times: float, processes: int
) -> list[str]:
    """Return the command line that offers a profile and writes its account to `result`."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--load-profile", name, "--times", str(times)),
        *("--run-time", f"{seconds}s", "--result", str(result)),
        *(("--synthetic", str(synthetic_seconds)) if synthetic_seconds else ()),
        *(("--processes", str(processes), "--expect-workers-max-wait", GENERATORS_SECONDS) if processes > 1 else ()),
    ]


def fleet_runs(project: Project, fleet: Fleet) -> bool:
    """Say whether every tier has a worker; ask again before saying no, for a busy one may answer late."""
    app, queues = load_app(project, fleet), {tier.queue for tier in fleet}
    return any(queues <= worker_names(app).keys() for _ in range(ASK_TIMES))


async def _with_fleet(project: Project, fleet: Fleet, argv: list[str]) -> int:
    abandoned = Event()
    with (project.state / "load" / "fleet.log").open("w") as log:
        services = worker_services(fleet, current_settings(), node="load")
        supervisor = Supervisor(services=services, project=project, output=log, check=lambda: False)
        running = asyncio.create_task(supervisor.run())
        running.add_done_callback(lambda _: abandoned.set())
        try:
            return await asyncio.to_thread(_offer, project, fleet, argv, abandoned)
        finally:
            supervisor.stop()
            with suppress(asyncio.CancelledError):
                await running


def _offer(project: Project, fleet: Fleet, argv: list[str], abandoned: Event) -> int:
    wait_for_workers(load_app(project, fleet), fleet, abandoned)
    return _run_locust(project, argv)


def _run_locust(project: Project, argv: list[str]) -> int:
    env = environment_with(**supervised())
    return subprocess.run(argv, check=False, env=env, cwd=project.root).returncode
