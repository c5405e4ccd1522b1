"""Read a Celery application: its settings, queues, routes, tasks and schedule."""

from collections.abc import Iterator
from typing import Any, cast

from celery import Celery
from celery.schedules import crontab

from deploytools.broker.address import BrokerAddress, is_hardened, parse_address
from deploytools.errors import BrokerAddressError
from deploytools.inspect.doctor.evidence import AppFacts, BeatEntry, DeclaredQueue, TaskFacts

HOUR_SECONDS = 3600.0


def read_app(app: Celery, name: str) -> AppFacts:
    """Return what an application is configured to; imports the modules it names."""
    app.loader.import_default_modules()
    app.finalize()
    settings: Any = app.conf
    conf = {
        **settings.table(with_defaults=True, censored=False),
        "broker_url": settings.broker_read_url,
        "result_backend": settings.result_backend,
    }
    address = _address(conf["broker_url"])
    fleet = getattr(app, "fleet", None)
    return AppFacts(
        name=name,
        conf=conf,
        shown=settings.table(with_defaults=False, censored=True),
        broker=address,
        is_hardened=bool(fleet and address and is_hardened(fleet, address)),
        queues=tuple(_declared_queues(app)),
        routes=dict(_routes(settings.task_routes)),
        tasks={task.name: _task(task) for task in app.tasks.values()},
        entries=tuple(_entry(name, entry) for name, entry in (settings.beat_schedule or {}).items()),
    )


def _address(url: str | None) -> BrokerAddress | None:
    try:
        return parse_address(url) if url else None
    except BrokerAddressError:
        return None  # SQS, memory, a list of failover URLs: nothing our rules know


def _declared_queues(app: Celery) -> Iterator[DeclaredQueue]:
    if not app.conf.task_queues:
        return
    for queue in app.amqp.queues.values():
        exchange = queue.exchange.name if queue.exchange else ""
        yield DeclaredQueue(name=queue.name, exchange=exchange, routing_key=queue.routing_key or "")


def _routes(routes: Any) -> Iterator[tuple[str, str]]:
    """Yield pattern and queue; routers that are functions cannot be read."""
    for each in routes if isinstance(routes, (list, tuple)) else [routes]:
        pairs = each.items() if isinstance(each, dict) else each if isinstance(each, (list, tuple)) else ()
        for pattern, route in pairs:
            queue = route if isinstance(route, str) else (route or {}).get("queue")
            if isinstance(pattern, str) and queue:
                yield pattern, getattr(queue, "name", queue)


def _task(task: Any) -> TaskFacts:
    return TaskFacts(
        acks_late=bool(task.acks_late),
        reject_on_worker_lost=bool(task.reject_on_worker_lost),
        time_limit_seconds=task.time_limit,
        ignore_result=bool(task.ignore_result),
        priority=task.priority,
    )


def _entry(name: str, entry: dict[str, Any]) -> BeatEntry:
    options = entry.get("options") or {}
    return BeatEntry(
        name=name,
        task=entry["task"],
        every_seconds=_every_seconds(entry["schedule"]),
        expires=options.get("expires") is not None,
        queue=options.get("queue"),
    )


def _every_seconds(when: Any) -> float | None:
    if isinstance(when, (int, float)):
        return float(when)
    if isinstance(when, crontab):
        minutes = len(cast(Any, when).minute)
        return HOUR_SECONDS / minutes if minutes > 1 else None
    when = getattr(when, "run_every", when)
    return float(when.total_seconds()) if hasattr(when, "total_seconds") else None
