"""Whether a task that was accepted is run to its end, and once."""

from deploytools.inspect.doctor.evidence import STOCK_AUTOSCALER, AppFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import (
    Commands,
    counted,
    disables_prefetch,
    early_tasks,
    longest_limit_seconds,
    multiplier,
    workers_of,
)


@rule(
    Severity.WARNING,
    consequence="A task whose process or host dies is gone: it was acknowledged before it ran.",
    fix="`task_acks_late = True` with `task_reject_on_worker_lost = True`; exceptions say so in `@app.task`.",
    source="run: child and worker killed",
)
def acknowledged_early(app: AppFacts) -> Occurrences:
    """Tasks are acknowledged before they run."""
    if not app.conf["task_acks_late"] and (names := early_tasks(app)):
        yield app.name, f"task_acks_late = False: {counted(names)}"


@rule(
    Severity.WARNING,
    consequence="A task whose process is killed, by the kernel's OOM killer say, fails and is acknowledged: gone.",
    fix="`task_reject_on_worker_lost = True` where redelivery is bounded, else `task_retry_on_worker_lost` (5.7).",
    source="celery/worker/request.py:738-761; run",
)
def lost_with_its_process(app: AppFacts) -> Occurrences:
    """Tasks are acknowledged late, but not given back when their process dies."""
    if app.conf.get("task_retry_on_worker_lost"):
        return
    names = [name for name, task in app.own_tasks.items() if task.acks_late and not task.reject_on_worker_lost]
    if names:
        yield app.name, f"acks_late without reject_on_worker_lost: {counted(sorted(names))}"


@rule(
    Severity.WARNING,
    consequence="A task that always kills its process is delivered again for ever, and takes process after process.",
    fix="`task_retry_on_worker_lost = True` (5.7: bounded by max_retries), or the fleet's transport.",
    source="celery#6103; run: no limit",
)
def redelivered_for_ever(app: AppFacts) -> Occurrences:
    """What a dead process gives back is delivered without limit."""
    if not app.on_stock_redis or app.conf.get("task_retry_on_worker_lost"):
        return
    names = [name for name, task in app.own_tasks.items() if task.acks_late and task.reject_on_worker_lost]
    if names:
        yield app.name, f"reject_on_worker_lost on kombu's Redis transport: {counted(sorted(names))}"


@rule(
    Severity.ERROR,
    consequence="A task that reaches its limit is put back without a count: six runs in eleven seconds.",
    fix="Leave `task_acks_on_timeout` true, and retry in the task where that makes sense.",
    source="celery/worker/request.py:610-614; run",
)
def timed_out_for_ever(app: AppFacts) -> Occurrences:
    """Tasks that time out are not acknowledged."""
    late = any(task.acks_late for task in app.own_tasks.values())
    for name in ("task_acks_on_timeout", "task_acks_on_failure_or_timeout"):
        if late and app.on_stock_redis and app.conf.get(name) is False:
            yield app.name, f"{name} = False"


@rule(
    Severity.WARNING,
    consequence="A task that hangs keeps its process for ever. Without a limit there is no right visibility timeout "
    "and no right grace period either.",
    fix="`--time-limit` and a soft limit below it, on each worker.",
    source="docs/explanation-fleet.md",
)
def no_time_limit(commands: Commands, app: AppFacts) -> Occurrences:
    """Nothing ends a task that hangs."""
    limits = [app.conf.get("task_time_limit"), *(task.time_limit_seconds for task in app.own_tasks.values())]
    if (all(limits[1:]) and limits[1:]) or limits[0]:
        return
    for command in workers_of(commands):
        if not command.options.get("time_limit"):
            yield command.where, "no --time-limit, no task_time_limit"


@rule(
    Severity.WARNING,
    consequence="Each process holds a second task that an idle worker could run.",
    fix="`--disable-prefetch` (Redis), or late acknowledgement.",
    source="run: 2 of 12 tasks taken and not running",
)
def one_more_is_held(commands: Commands, app: AppFacts) -> Occurrences:
    """Prefetch is 1, but tasks are acknowledged early."""
    names = early_tasks(app)
    for command in workers_of(commands):
        if names and multiplier(command, app) == 1 and not disables_prefetch(command, app):
            yield command.where, f"prefetch multiplier 1, acks_late = False: {counted(names)}"


@rule(
    Severity.WARNING,
    consequence="Each process takes tasks to wait behind its own, however many others are idle.",
    fix="`--prefetch-multiplier=1` with late acknowledgement; more only for tasks of a few milliseconds.",
    source="run: 8 of 12 tasks taken and not running",
)
def tasks_hoarded(commands: Commands, app: AppFacts) -> Occurrences:
    """A worker takes several tasks for each process."""
    for command in workers_of(commands):
        if (times := multiplier(command, app)) > 1 and not disables_prefetch(command, app):
            yield command.where, f"prefetch multiplier {times}"


@rule(
    Severity.ERROR,
    consequence="Redis gives the task to a second worker while the first still runs it.",
    fix="`broker_transport_options = {'visibility_timeout': …}` above twice the longest time limit.",
    source="kombu/transport/redis.py:523-549; run: 3 runs; kombu#337",
)
def visible_too_soon(app: AppFacts, commands: Commands | None = None) -> Occurrences:
    """The visibility timeout is shorter than a task may run."""
    longest = longest_limit_seconds(app, commands)
    if app.on_stock_redis and longest > app.visibility_seconds:
        yield app.name, f"visibility_timeout {app.visibility_seconds:g} s, time limit {longest:g} s"


@rule(
    Severity.ERROR,
    consequence="A waiting ETA task is delivered again each time the timeout passes, and runs as often.",
    fix="Keep ETAs below the visibility timeout: store what is due later, and let beat send it.",
    source="celery#2481, celery#4400; run: 4 runs",
)
def eta_beyond_visibility(app: AppFacts, workers: tuple[WorkerFacts, ...]) -> Occurrences:
    """A worker holds a task that is due after the visibility timeout."""
    for worker in workers:
        if app.on_stock_redis and worker.eta_seconds > app.visibility_seconds:
            yield worker.node, f"due in {worker.eta_seconds:.0f} s, visibility_timeout {app.visibility_seconds:g} s"


@rule(
    Severity.WARNING,
    consequence="After a lost connection the prefetch is what the pool is at that moment: it never grows again.",
    fix="`worker_enable_prefetch_count_reduction = False`.",
    source="celery/worker/consumer/consumer.py:508-515; run: stays at 2 of 8",
)
def stuck_after_reconnect(commands: Commands, app: AppFacts) -> Occurrences:
    """Autoscale, late acknowledgement and prefetch 1 meet prefetch reduction."""
    late = any(task.acks_late for task in app.own_tasks.values())
    for command in workers_of(commands):
        scales = command.options.get("autoscale") and app.conf["worker_autoscaler"] == STOCK_AUTOSCALER
        if late and scales and multiplier(command, app) == 1 and app.conf["worker_enable_prefetch_count_reduction"]:
            yield command.where, "worker_enable_prefetch_count_reduction = True"


@rule(
    Severity.WARNING,
    consequence="After a lost connection Redis delivers running tasks again, and the first run goes on: both finish.",
    fix="`worker_cancel_long_running_tasks_on_connection_loss = True`, or the fleet's transport, which keeps leases.",
    source="run: each ran twice",
)
def runs_twice_after_reconnect(app: AppFacts) -> Occurrences:
    """Late tasks go on when their connection is lost."""
    late = any(task.acks_late for task in app.own_tasks.values())
    if app.on_stock_redis and late and not app.conf["worker_cancel_long_running_tasks_on_connection_loss"]:
        yield app.name, "worker_cancel_long_running_tasks_on_connection_loss = False"


@rule(
    Severity.WARNING,
    consequence="A message that is not Celery's ends the worker (exit code 1); some are put back and end the next. "
    "An outage of Redis ends busy workers too.",
    fix="The fleet's transport, which sets such messages aside; at the least a process manager that restarts always.",
    source="celery#4308, kombu#2421; run on 5.7.0: 10 of 10",
)
def message_ends_worker(app: AppFacts) -> Occurrences:
    """Kombu's own Redis transport moves the messages."""
    if app.on_stock_redis:
        yield app.name, f"broker {app.broker}, transport of kombu"
