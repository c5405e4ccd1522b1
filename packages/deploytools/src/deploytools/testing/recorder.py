"""Inside a worker under test: write down what it receives, starts and ends, as JSON lines.

Workers load it with `--include deploytools.testing.recorder`; DEPLOYTOOLS_LEDGER names the file. One line is one write
at the file's end, so that all processes of all workers can share a file, and a killed one leaves whole lines.
"""

import json
import os
import time
from typing import Any

from celery.signals import task_failure, task_postrun, task_prerun, task_received, task_unknown

from deploytools.settings import current_settings
from deploytools.transport.qos import REDELIVERIES

_path = current_settings().ledger
_node = ""  # of this process's worker, once it has received something
_file = os.open(_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if _path else None


def _write(event: str, *, id: str, task: str, node: str, queue: str | None, **more: Any) -> None:  # noqa: A002
    entry = {"event": event, "id": id, "task": task, "node": node, "queue": queue or "", "state": "", **more}
    if _file is not None:
        os.write(_file, (json.dumps(entry | {"pid": os.getpid(), "at": time.time()}) + "\n").encode())


def _queue(request: Any) -> str | None:
    return (request.delivery_info or {}).get("routing_key")


@task_received.connect(weak=False)
def _received(request: Any, **_: Any) -> None:
    global _node  # noqa: PLW0603 — one worker a process
    _node = request.hostname
    redeliveries = int((request.message.headers or {}).get(REDELIVERIES, 0))
    where = {"node": request.hostname, "queue": _queue(request)}
    _write("received", id=request.id, task=request.name, **where, redeliveries=redeliveries)


@task_prerun.connect(weak=False)
def _started(task_id: str, task: Any, **_: Any) -> None:
    request = task.request
    _write("started", id=task_id, task=task.name, node=request.hostname, queue=_queue(request))


@task_postrun.connect(weak=False)
def _ended(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    request = task.request
    _write("ended", id=task_id, task=task.name, node=request.hostname, queue=_queue(request), state=state or "")


@task_failure.connect(weak=False)
def _failed(sender: Any, task_id: str, **_: Any) -> None:
    # In a worker's main process: the task's process is gone (killed, time limit) and could not write itself.
    if sender.request.id is None:
        _write("ended", id=task_id, task=sender.name, node=_node, queue=None, state="FAILURE")


@task_unknown.connect(weak=False)
def _unknown(sender: Any, name: str, id: str, message: Any, **_: Any) -> None:  # noqa: A002 — the signal's names
    _write("unknown", id=id, task=name, node=sender.hostname, queue=message.delivery_info.get("routing_key"))
