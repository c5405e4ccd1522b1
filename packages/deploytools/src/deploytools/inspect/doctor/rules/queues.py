"""Queues and routes."""

from collections import Counter
from fnmatch import fnmatchcase

from deploytools.inspect.doctor.evidence import AppFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import Commands, counted, workers_of

Workers = tuple[WorkerFacts, ...]


def is_routed(task: str, app: AppFacts) -> bool:
    """Say whether a route names the task."""
    return any(fnmatchcase(task, pattern) for pattern in app.routes)


@rule(
    Severity.WARNING,
    consequence="What is published to that exchange with that key lands in each of these queues: once in each.",
    fix="Give each queue its own: `Queue('high', Exchange('high'), routing_key='high')`.",
    source="run: a copy in all three",
)
def exchange_shared(app: AppFacts) -> Occurrences:
    """Several queues hang on one exchange by one key."""
    places = Counter((queue.exchange, queue.routing_key) for queue in app.queues)
    for (exchange, key), count in places.items():
        if count > 1:
            names = [queue.name for queue in app.queues if (queue.exchange, queue.routing_key) == (exchange, key)]
            yield app.name, f"exchange {exchange!r}, key {key!r}: {counted(names)}"


@rule(
    Severity.WARNING,
    consequence="A misspelt queue is made on the spot, at either end: tasks wait where nobody looks.",
    fix="`task_create_missing_queues = False`, with all queues in `task_queues`.",
    source="run",
)
def missing_queues_created(app: AppFacts) -> Occurrences:
    """Queues that are not declared come into being when named."""
    if app.conf["task_create_missing_queues"] and (app.queues or app.routes):
        yield app.name, "task_create_missing_queues = True"


@rule(
    Severity.ERROR,
    consequence="Its tasks go to a queue that workers know nothing of, or `apply_async` raises QueueNotFound.",
    fix="Declare the queue in `task_queues`, or correct the route.",
    source="run",
)
def route_to_undeclared_queue(app: AppFacts) -> Occurrences:
    """A route leads to a queue that is not declared."""
    for pattern, queue in app.routes.items():
        if app.queues and queue not in app.queue_names:
            yield app.name, f"{pattern} → {queue}"


@rule(
    Severity.WARNING,
    consequence="The tasks it was written for go to the default queue.",
    fix="Correct the pattern: task names are `module.function` unless they are given.",
    source="celery/app/routes.py",
)
def route_matches_nothing(app: AppFacts) -> Occurrences:
    """A route names no task."""
    for pattern, queue in app.routes.items():
        if not any(fnmatchcase(task, pattern) for task in app.tasks):
            yield app.name, f"{pattern} → {queue}"


@rule(
    Severity.ERROR,
    consequence="Tasks without a route are published where no worker of the declared queues consumes.",
    fix="`task_default_queue`: one of those in `task_queues`.",
    source="celery/app/amqp.py",
)
def default_queue_undeclared(app: AppFacts) -> Occurrences:
    """The default queue is not among those that are declared."""
    default = app.conf["task_default_queue"]
    unrouted = sorted(task for task in app.own_tasks if not is_routed(task, app))
    if app.queues and default not in app.queue_names and unrouted:
        yield app.name, f"task_default_queue = {default!r}: {counted(unrouted)}"


@rule(
    Severity.WARNING,
    consequence="It consumes all declared queues: a flood in one delays the others.",
    fix="`-Q`, one queue a worker.",
    source="run",
)
def queues_not_named(commands: Commands, app: AppFacts) -> Occurrences:
    """A worker is started without `-Q`, and there are several queues."""
    for command in workers_of(commands):
        if len(app.queues) > 1 and not command.options.get("queues"):
            yield command.where, f"no -Q: {counted(sorted(app.queue_names))}"


@rule(
    Severity.ERROR,
    consequence="It waits on a queue nobody publishes to, or does not start (ImproperlyConfigured).",
    fix="Correct the name, or declare the queue.",
    source="run",
)
def unknown_queue_named(commands: Commands, app: AppFacts) -> Occurrences:
    """A worker is told to consume a queue that is not declared."""
    for command in workers_of(commands):
        for queue in command.options.get("queues") or ():
            if app.queues and queue not in app.queue_names:
                yield command.where, f"-Q {queue}"


@rule(
    Severity.WARNING,
    consequence="A task of high priority in the last queue runs before one without in the first; 0 is the highest "
    "on Redis, and unset is 0.",
    fix="Leave message priorities unset; use a queue and a worker for each class.",
    source="kombu/transport/redis.py:1465-1466; celery#4028; run",
)
def priority_beats_queues(app: AppFacts) -> Occurrences:
    """Messages have priorities, on Redis."""
    prioritized = sorted(name for name, task in app.own_tasks.items() if task.priority is not None)
    on_redis = app.broker is not None and app.broker.is_redis
    if prioritized and on_redis and app.transport_options.get("priority_steps") != [0]:
        yield app.name, f"priority: {counted(prioritized)}"


@rule(
    Severity.WARNING,
    consequence="What is published there waits until somebody consumes it.",
    fix="Start a worker with `-Q`, or take the queue out of the declaration.",
    source="`inspect active_queues`",
)
def queue_without_worker(app: AppFacts, workers: Workers) -> Occurrences:
    """No worker consumes a declared queue."""
    consumed = {queue for worker in workers for queue in worker.queues}
    for queue in sorted(app.queue_names - consumed):
        yield queue, "consumed by none of the workers that answer"


@rule(
    Severity.ERROR,
    consequence="It runs the code of another version or application: tasks of the declared queues do not reach it.",
    fix="Restart it with today's configuration, or give each application a Redis database of its own.",
    source="`inspect active_queues`",
)
def undeclared_queue_consumed(app: AppFacts, workers: Workers) -> Occurrences:
    """A worker consumes a queue that is not declared."""
    for worker in workers:
        for queue in worker.queues:
            if app.queues and queue not in app.queue_names:
                yield worker.node, queue


@rule(
    Severity.ERROR,
    consequence="It throws those tasks away when they arrive (on kombu's transport without a trace in the broker).",
    fix="Restart it with the code that has them; in a rolling deploy switch workers before publishers.",
    source="celery/worker/consumer/consumer.py:752-783",
)
def worker_lacks_tasks(app: AppFacts, workers: Workers) -> Occurrences:
    """A worker consumes a queue, but does not have the tasks routed to it."""
    for worker in workers:
        routed = (
            task
            for task in app.own_tasks
            if any(fnmatchcase(task, pattern) and queue in worker.queues for pattern, queue in app.routes.items())
        )
        if missing := sorted(set(routed) - worker.registered):
            yield worker.node, counted(missing)
