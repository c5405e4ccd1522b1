"""A fleet for a demo: its own state folder, its own broker, and nothing left running."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Event

from deploytools.app import load_app
from deploytools.broker.choice import broker_address
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.fleet import Fleet
from deploytools.load.demo import Demo
from deploytools.load.demo_report import progress
from deploytools.load.demo_result import DemoResult
from deploytools.load.run_lock import hold_run_lock
from deploytools.load.samples import Account
from deploytools.load.workload import ResultTable, WorkloadProvider, load_workload_provider
from deploytools.project import Project
from deploytools.services import Service, beat_service, worker_services
from deploytools.settings import current_project, current_settings, use_environment
from deploytools.supervisor import Supervisor

PROBE_QUEUE = "deploytools.demo.probe"


def run_demo(*, seconds: float) -> tuple[DemoResult, list[ResultTable]]:
    """Start a fleet below `.deploytools/demo`, offer load, stop it; return how it went and what the tasks made.

    What they wrote stays until the next demo.
    """
    project = current_project()
    with hold_run_lock(project.state):
        return _run_on_own_broker(project, project.fleet(), seconds)


def _run_on_own_broker(project: Project, fleet: Fleet, seconds: float) -> tuple[DemoResult, list[ResultTable]]:
    state = project.state / "demo"
    broker = EmbeddedBroker(state=state)
    broker.stop()  # left over from a demo that was killed
    shutil.rmtree(state, ignore_errors=True)
    use_environment(DEPLOYTOOLS_STATE=str(state), CELERY_BROKER_URL=broker.address.url)
    broker.start(until_exit=True)
    try:
        source = _load_workload_provider(project, fleet)
        result = asyncio.run(_run(current_project(), fleet, broker, seconds))
        return result, list(source.show())
    finally:
        broker.stop()


def _load_workload_provider(project: Project, fleet: Fleet) -> WorkloadProvider:
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))
    source = load_workload_provider(fleet)
    use_environment(**source.environment)
    return source


async def _run(project: Project, fleet: Fleet, broker: EmbeddedBroker, seconds: float) -> DemoResult:
    log_path = project.state / "fleet.log"
    abandoned = Event()
    with log_path.open("w") as log, progress(seconds) as watch:
        check = partial(broker.start, until_exit=True)
        supervisor = Supervisor(services=_services(project, fleet), project=project, output=log, check=check)
        running = asyncio.create_task(supervisor.run())
        running.add_done_callback(lambda _: abandoned.set())
        try:
            return await asyncio.to_thread(_offer, project, fleet, watch, seconds, abandoned)
        finally:
            if not running.done():
                supervisor.stop()
            await running


def _offer(
    project: Project,
    fleet: Fleet,
    watch: Callable[[float, Account], None],
    seconds: float,
    abandoned: Event,
) -> DemoResult:
    demo = Demo(
        app=load_app(project, fleet),
        fleet=fleet,
        project=project,
        probe_queue=PROBE_QUEUE,
        watch=watch,
    )
    return demo.run(seconds=seconds, abandoned=abandoned)


def _services(project: Project, fleet: Fleet) -> list[Service]:
    settings = current_settings()
    beat = beat_service(fleet, settings, project=project, address=broker_address(settings, project))
    probed = replace(beat.command, environment={"DEPLOYTOOLS_PROBE_QUEUE": PROBE_QUEUE})
    return [*worker_services(fleet, settings, node=str(os.getpid())), replace(beat, command=probed)]
