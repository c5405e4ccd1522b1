"""Tell a load run when its tasks started and how they ended.

Only tasks whose message names a report queue in the `x_probe_queue` header are reported: one small message each, over
the broker they came from, so it works on any broker, needs no result backend and no events, and costs others nothing.
On the hardened transport it goes out from the worker's main process, in front of the task's acknowledgement; elsewhere
the process that ran the task publishes it.
"""

import os
import time
from collections.abc import MutableMapping
from typing import Any

import msgspec
from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import before_task_publish, task_failure, task_postrun, task_prerun

from deploytools.publish_time import stamp
from deploytools.settings import current_settings
from deploytools.transport.channel import TRANSIENT, Channel
from deploytools.worker import first_runs

PROBE_QUEUE = "x_probe_queue"
BEAT_MARK = "celery_beat_task"  # Celery's own header on what beat sends
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"})


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task. Of its wait the publisher knows the beginning: when it meant to send it."""

    id: str
    task: str
    state: str
    node: str
    started_at: float  # seconds since the epoch
    run_seconds: float
    beat: bool  # sent by beat
    first_run: bool  # of its task in the pool process
    pid: int  # of the process that ran it; 0 where it is not known


def connect() -> None:
    """Stamp what this process publishes, and report on what it runs. Connecting twice changes nothing."""
    before_task_publish.connect(_stamp, dispatch_uid="deploytools.stamp", weak=False)
    task_prerun.connect(_note_start, dispatch_uid="deploytools.note_start", weak=False)
    task_postrun.connect(_report_end, dispatch_uid="deploytools.report_end", weak=False)
    task_failure.connect(_report_lost_process, dispatch_uid="deploytools.report_lost_process", weak=False)


# Beat in a demo puts no header on what it sends; its environment tells where to have reports sent.
_default_probe_queue = current_settings().probe_queue


def _stamp(headers: MutableMapping[str, Any] | None = None, **_: Any) -> None:
    if headers is None:
        return  # protocol 1 messages have none
    stamp(headers, time.time())
    if _default_probe_queue:
        headers.setdefault(PROBE_QUEUE, _default_probe_queue)


def report_end(request: Any, error: BaseException | None, seconds: float) -> None:
    """Report what ran to its end, from a worker's main process, before it is acknowledged; see `Channel.post`."""
    headers = request.request_dict
    queue = headers.get(PROBE_QUEUE)
    if not queue or not isinstance(channel := request.message.channel, Channel):
        return
    state = "SUCCESS" if error is None else _state_after(error)
    if state in FINAL_STATES:
        report = Report(
            id=request.id,
            task=request.name,
            state=state,
            node=request.hostname,
            started_at=request.time_start or time.time() - seconds,
            run_seconds=seconds,
            beat=BEAT_MARK in headers,
            first_run=request.is_first_run,
            pid=request.worker_pid or 0,
        )
        channel.post(queue, msgspec.json.encode(report))


def _state_after(error: BaseException) -> str:
    match error:
        case Retry():
            return "RETRY"
        case Ignore():
            return "IGNORED"
        case Reject():
            return "REJECTED"
        case _:
            return "FAILURE"


def _note_start(task: Any, **_: Any) -> None:
    task.request.x_started_at = time.time()
    task.request.x_started_in = os.getpid()
    task.request.x_first_run = first_runs.note_start(task.name, os.getpid())


def _report_end(task: Any, state: str | None = None, **_: Any) -> None:
    request = task.request
    if getattr(request, PROBE_QUEUE, None) and state in FINAL_STATES and not getattr(task.app, "posts_reports", False):
        _publish(task.app, request, task.name, state, started_at=request.x_started_at)


def _report_lost_process(sender: Any, **signal: Any) -> None:
    """Report for a process that could not: only a worker's main process fails a task that never started in it."""
    request = getattr(signal.get("einfo"), "request", None) or sender.request
    if getattr(request, PROBE_QUEUE, None) and getattr(request, "x_started_in", None) is None:
        _publish(sender.app, request, sender.name, "FAILURE", started_at=time.time())


def _publish(app: Celery, request: Any, task_name: str, state: str, *, started_at: float) -> None:
    report = Report(
        id=request.id,
        task=task_name,
        state=state,
        node=request.hostname,
        started_at=started_at,
        run_seconds=time.time() - started_at,
        beat=bool(getattr(request, BEAT_MARK, None)),
        first_run=bool(getattr(request, "x_first_run", False)),
        pid=getattr(request, "x_started_in", None) or 0,
    )
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            msgspec.to_builtins(report),
            exchange="",
            routing_key=getattr(request, PROBE_QUEUE),
            serializer="json",
            delivery_mode=TRANSIENT,
            retry=True,
        )
