"""Queues, routes, and who consumes them."""

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase

from deploytools.inspect.doctor.evidence import AppFacts, Backlog, RedisFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.commands import Commands, workers_of


@rule(
    Severity.ERROR,
    consequence="A message published to that exchange lands in each of these queues: it runs once for each.",
    fix="Give each queue an exchange and a routing key of its own: `Queue(name, Exchange(name), routing_key=name)`.",
    source="celery/app/amqp.py:586-588; run: one message in three queues",
)
def queues_share_a_binding(app: AppFacts) -> Signs:
    """Queues have the same exchange and routing key."""
    bound: dict[tuple[str, str], list[str]] = defaultdict(list)
    for queue in app.queues:
        bound[queue.exchange, queue.routing_key].append(queue.name)
    for (exchange, key), names in bound.items():
        if len(names) > 1:
            yield app.name, f"{', '.join(names)}: exchange {exchange!r}, routing key {key!r}"


@rule(
    Severity.WARNING,
    consequence="A misspelt queue is made on the fly; nobody consumes it, and no error says so.",
    fix="Set `task_create_missing_queues = False`.",
    source="celery/app/amqp.py; run",
)
def misspelt_queues_are_made(app: AppFacts) -> Signs:
    """Queues that nobody declared are created."""
    if app.conf["task_create_missing_queues"]:
        yield app.name, "task_create_missing_queues = True"


@rule(
    Severity.ERROR,
    consequence="Publishing such a task fails, or fills a queue that nobody consumes.",
    fix="Declare the queue, or correct the route.",
    source="the guide's `tasks stuck in queue`",
)
def route_to_undeclared_queue(app: AppFacts) -> Signs:
    """A route leads to a queue that is not declared."""
    for pattern, queue in app.routes.items():
        if app.queues and queue not in app.queue_names:
            yield pattern, f"routed to {queue!r}; declared: {', '.join(sorted(app.queue_names))}"


@rule(
    Severity.WARNING,
    consequence="The route does nothing: what was meant by it goes to the default queue.",
    fix="Correct the pattern, or import the module of its tasks.",
    source="celery/app/routes.py",
)
def route_of_no_task(app: AppFacts) -> Signs:
    """A route matches no registered task."""
    for pattern, queue in app.routes.items():
        if not any(fnmatchcase(name, pattern) for name in app.tasks):
            yield pattern, f"to {queue!r}; {len(app.own_tasks)} tasks are registered"


@rule(
    Severity.ERROR,
    consequence="A task without a route fails to be published, or goes where nobody consumes.",
    fix="Set `task_default_queue` to a declared queue.",
    source="celery/app/amqp.py",
)
def default_queue_undeclared(app: AppFacts) -> Signs:
    """The default queue is not declared."""
    default = app.conf["task_default_queue"]
    if app.queues and default not in app.queue_names:
        yield app.name, f"task_default_queue = {default!r}; declared: {', '.join(sorted(app.queue_names))}"


@rule(
    Severity.WARNING,
    consequence="It runs tasks of every tier: short ones wait behind long ones.",
    fix="Start one worker a tier, with `-Q`.",
    source="run: without -Q a worker consumes all of task_queues; high's p50 203 ms instead of 3",
)
def one_worker_for_all(app: AppFacts, commands: Commands) -> Signs:
    """A worker consumes all queues."""
    for command in workers_of(commands):
        if len(app.queues) > 1 and not command.options.get("queues"):
            yield command.where, f"no -Q: {', '.join(sorted(app.queue_names))}"


@rule(
    Severity.ERROR,
    consequence="These messages wait for ever.",
    fix="Move them to the queue that was meant (`RENAMENX`), and correct the publisher.",
    source="the guide's `tasks stuck in queue`",
)
def messages_in_undeclared_queue(redis: RedisFacts) -> Signs:
    """A list that is no declared queue holds task messages."""
    for name, count in sorted(redis.strays.items()):
        yield name, f"{count} messages"


@rule(
    Severity.ERROR,
    consequence="Its tasks wait until somebody starts a worker.",
    fix="Start a worker of that queue: `deploytools worker.<tier>`, or `celery worker -Q`.",
    source="the guide's `tasks stuck in queue`",
)
def queue_without_worker(queues: Mapping[str, Backlog], workers: tuple[WorkerFacts, ...] = ()) -> Signs:
    """Messages wait in a queue that no worker consumes."""
    consumed = {name for worker in workers or () for name in worker.queues}
    for name, backlog in sorted(queues.items()):
        if backlog.depth and name not in consumed:
            yield name, f"{backlog.depth} wait, no worker that answers consumes it"


@rule(
    Severity.WARNING,
    consequence="Nothing this application publishes reaches it there.",
    fix="Correct its `-Q`, or deploy worker and publisher from the same code.",
    source="the guide's `verify queue routing`",
)
def worker_of_undeclared_queue(app: AppFacts, workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker consumes a queue that is not declared."""
    for worker in workers:
        for name in worker.queues:
            if app.queues and name not in app.queue_names:
                yield worker.node, f"consumes {name!r}"
