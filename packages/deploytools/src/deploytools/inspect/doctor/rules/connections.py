"""How publishers and workers behave when something does not answer, and what results cost."""

from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule

# Celery waits 2, 4, … 30 seconds between attempts.
RETRY_MINUTES_A_HUNDRED = 46


@rule(
    Severity.ERROR,
    consequence="A Redis that hangs blocks each publisher, a web request included, for ever.",
    fix="Set `socket_timeout` and `socket_connect_timeout` in `broker_transport_options`.",
    source="run: `apply_async` against a stopped Redis did not return",
)
def socket_timeout_missing(app: AppFacts) -> Signs:
    """Nothing bounds the wait for Redis."""
    if app.broker and app.broker.is_redis and not app.transport_options.get("socket_timeout"):
        yield app.name, "broker_transport_options has no socket_timeout"


@rule(
    Severity.WARNING,
    consequence="After that many attempts workers give up, and stay away when the broker is back.",
    fix="Set `broker_connection_max_retries = None`.",
    source="kombu/connection.py:467-472, celery/app/defaults.py:94",
)
def reconnect_gives_up(app: AppFacts) -> Signs:
    """Workers stop trying to reach their broker."""
    most = app.conf["broker_connection_max_retries"]
    if most is not None:
        yield app.name, f"broker_connection_max_retries = {most}; 100 are {RETRY_MINUTES_A_HUNDRED} minutes"


@rule(
    Severity.WARNING,
    consequence="Results of tasks that nobody asks for stay in the backend until its memory is full.",
    fix="Set `result_expires`, or `task_ignore_result = True` where nobody reads results.",
    source="celery/app/defaults.py; the guide's `memory grows`",
)
def results_kept_for_ever(app: AppFacts) -> Signs:
    """Results do not expire."""
    if app.conf.get("result_backend") and not app.conf.get("result_expires"):
        yield app.name, "result_expires is not set"


@rule(
    Severity.WARNING,
    consequence="While Redis hangs, publishers wait for the result store as well, two minutes at a time.",
    fix="Set `redis_socket_timeout` to a few seconds, or do without results.",
    source="celery/app/defaults.py:202; run: over 60 s",
)
def result_store_blocks_publishers(app: AppFacts) -> Signs:
    """The result store is waited for as long as Celery does by default."""
    backend, seconds = str(app.conf.get("result_backend") or ""), app.conf.get("redis_socket_timeout")
    if backend.startswith("redis") and (seconds is None or seconds >= 120):
        yield app.name, f"redis_socket_timeout = {seconds}"


@rule(
    Severity.WARNING,
    consequence="On Redis a message's priority goes before its queue: a low tier's task overtakes a high tier's.",
    fix="Leave priorities out and use queues with workers of their own.",
    source="kombu/transport/redis.py:1465-1466; run",
)
def priority_beats_queue(app: AppFacts) -> Signs:
    """Messages have priorities, and there are several queues."""
    if not (app.on_stock_redis and len(app.queues) > 1):
        return
    if app.conf.get("task_default_priority"):
        yield app.name, f"task_default_priority = {app.conf['task_default_priority']}"
    for name, task in sorted(app.own_tasks.items()):
        if task.priority:
            yield name, f"priority = {task.priority}"
