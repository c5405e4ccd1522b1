"""Make a Celery application part of a fleet."""

from typing import Any, cast

from celery import Celery
from celery.app.task import Task

from deploytools import fork_safety
from deploytools.broker.address import is_hardened, parse_address
from deploytools.broker.choice import broker_address
from deploytools.broker.credentials import connection_settings
from deploytools.fleet import Fleet
from deploytools.settings import current_project, current_settings
from deploytools.transport.transport import use_hardened
from deploytools.worker import clock, completion_reports, gc_freeze, synthetic  # noqa: F401 — importing registers its task
from deploytools.worker.autoscaler import StartAtConcurrency
from deploytools.worker.health import LivenessStep
from deploytools.worker.metrics import MetricsServerStep
from deploytools.worker.pools import RefuseGreenlets
from deploytools.worker.rejection import DeadLetterQueues
from deploytools.worker.settings import fleet_settings
from deploytools.worker.signing import read_signing
from deploytools.worker.warm_start import WarmStart


def install(app: Celery, fleet: Fleet | None = None) -> Celery:
    """Give an application its fleet's queues, routes and delivery guarantees, and stamp what it publishes.

    Call it once, where the application is made; publishers and workers alike need it. Without `fleet`, the fleet file
    of the current project is read. A broker the application names itself is kept; otherwise it is CELERY_BROKER_URL,
    or the project's embedded broker. Raises FleetFileError or BrokerAddressError.
    """
    if not app.conf.broker_url:
        app.conf.update(broker_url=broker_address(current_settings(), current_project()).url)
    fleet = fleet or current_project().fleet()
    cast(Any, app).fleet = fleet  # where the worker's autoscaler finds its tier
    address = parse_address(app.conf.broker_url)
    app.conf.update(fleet_settings(fleet, address))
    app.conf.update(connection_settings(address, current_settings()))
    use_hardened(hardened := is_hardened(fleet, address))
    cast(Any, app).posts_reports = hardened
    app.steps["worker"] |= {RefuseGreenlets, WarmStart, StartAtConcurrency, MetricsServerStep}
    app.steps["consumer"] |= {DeadLetterQueues, LivenessStep}
    Task.Request = "deploytools.worker.rejection:Request"  # of every task, whatever class it is based on
    clock.connect()
    fork_safety.connect()
    gc_freeze.connect()
    completion_reports.connect()
    cast(Any, app).signing = signing = read_signing(current_settings().signing_key_file)
    if signing:
        signing.connect()
    return app
