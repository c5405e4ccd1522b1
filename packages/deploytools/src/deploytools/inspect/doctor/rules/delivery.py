"""Whether what was accepted is run: acknowledgement, limits, and what Celery's own Redis transport loses."""

from deploytools.fleet import Fleet
from deploytools.inspect.doctor.evidence import AppFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.commands import (
    Commands,
    counted,
    disables_prefetch,
    early_tasks,
    longest_limit_seconds,
    multiplier,
    workers_of,
)

# kombu looks at overdue messages each `interval` seconds, and does so in earnest each `throttle`-th time.
RESTORE_DEFAULTS = {"unacked_restore_interval": 10, "unacked_restore_throttle": 10}
SLOW_RESTORE_SECONDS = 30


@rule(
    Severity.ERROR,
    consequence="A worker or process that is killed takes its running tasks along: they are acknowledged already.",
    fix="Set `task_acks_late = True`, and make tasks safe to run twice.",
    source="celery/app/defaults.py:271; run: a killed worker's tasks are gone",
)
def acknowledged_before_run(app: AppFacts) -> Signs:
    """Tasks are acknowledged before they run."""
    if names := early_tasks(app):
        yield app.name, f"acks_late is off for {counted(names)}"


@rule(
    Severity.ERROR,
    consequence="A pool process that is killed (out of memory) fails its task for good, although it acknowledges late.",
    fix="Set `task_reject_on_worker_lost = True`, with a delivery limit (a hardened fleet has one).",
    source="celery/worker/request.py:749-761; run",
)
def lost_process_fails_task(app: AppFacts) -> Signs:
    """A late acknowledgement does not cover a lost process."""
    names = sorted(name for name, task in app.own_tasks.items() if task.acks_late and not task.reject_on_worker_lost)
    if names:
        yield app.name, f"reject_on_worker_lost is off for {counted(names)}"


@rule(
    Severity.WARNING,
    consequence="A task that kills its process each time is given back each time, for ever.",
    fix='Use a delivery limit: `transport = "hardened"` in the fleet file, or quorum queues.',
    source="celery#6103; run: endless",
)
def poison_task_loops(app: AppFacts) -> Signs:
    """Tasks of lost processes are given back without a limit."""
    names = sorted(name for name, task in app.own_tasks.items() if task.acks_late and task.reject_on_worker_lost)
    if app.on_stock_redis and names:
        yield app.name, f"reject_on_worker_lost on kombu's own transport, for {counted(names)}"


@rule(
    Severity.ERROR,
    consequence="Redis hands the task to a second worker while the first still runs it: it runs twice, or more often.",
    fix="Set `broker_transport_options['visibility_timeout']` above twice the longest time limit.",
    source="kombu#337; run: an 11 s task ran three times with a timeout of 4 s",
)
def visibility_shorter_than_tasks(app: AppFacts, commands: Commands | None = None) -> Signs:
    """The visibility timeout is shorter than a task may take."""
    longest = longest_limit_seconds(app, commands)
    if app.on_stock_redis and app.visibility_seconds < longest:
        yield app.name, f"visibility_timeout {app.visibility_seconds:g} s, longest time limit {longest:g} s"


@rule(
    Severity.ERROR,
    consequence="Each time the timeout passes, another worker gets the same task: it runs once for each.",
    fix="Keep ETAs below the visibility timeout, or use leases (a hardened fleet renews them).",
    source="kombu#337; run: a task due in 14 s ran four times with a timeout of 4 s",
)
def eta_beyond_visibility(app: AppFacts, workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker holds a task that is due after the visibility timeout."""
    for worker in workers:
        if app.on_stock_redis and worker.eta_seconds > app.visibility_seconds:
            yield worker.node, f"due in {worker.eta_seconds:.0f} s, visibility_timeout {app.visibility_seconds:g} s"


@rule(
    Severity.WARNING,
    consequence="A task that hangs holds its process for ever; no visibility timeout or grace period can be right.",
    fix="Set `task_time_limit`, or `--time-limit`; a fleet file requires one for each tier.",
    source="celery/app/defaults.py; the guide sets none",
)
def no_time_limit(app: AppFacts, commands: Commands | None = None, fleet: Fleet | None = None) -> Signs:
    """No task has a time limit."""
    if fleet is None and app.own_tasks and not longest_limit_seconds(app, commands):
        yield app.name, "task_time_limit is not set"


@rule(
    Severity.WARNING,
    consequence="Besides the task it runs, each process has more reserved: they wait behind it while others are idle.",
    fix="Acknowledge late with multiplier 1, or use `--disable-prefetch`.",
    source="run: 12 tasks of 3 s, two processes: two more are held with multiplier 1, eight with 4",
)
def prefetch_reserves_more(app: AppFacts, commands: Commands) -> Signs:
    """A worker reserves more than it can run."""
    for command in workers_of(commands):
        times = multiplier(command, app)
        if (times > 1 or early_tasks(app)) and not disables_prefetch(command, app):
            yield (
                command.where,
                f"prefetch multiplier {times}, {'early' if early_tasks(app) else 'late'} acknowledgement",
            )


@rule(
    Severity.ERROR,
    consequence="After any lost connection the pool never grows again until the worker is restarted.",
    fix="Set `worker_enable_prefetch_count_reduction = False`.",
    source="celery/worker/consumer/consumer.py:508-515 (5.7.0); run",
)
def autoscale_stuck_after_reconnect(app: AppFacts, commands: Commands) -> Signs:
    """A reconnect sets the prefetch to the processes of the moment."""
    if not app.conf["worker_enable_prefetch_count_reduction"] or early_tasks(app):
        return
    for command in workers_of(commands):
        if command.options.get("autoscale") and multiplier(command, app) == 1:
            yield command.where, "autoscale, late acknowledgement, multiplier 1, prefetch_count_reduction on"


@rule(
    Severity.WARNING,
    consequence="What a killed worker held comes back that much later than its visibility timeout says.",
    fix="Set `unacked_restore_interval` and `unacked_restore_throttle` in `broker_transport_options` (5 and 1).",
    source="kombu/transport/redis.py:1063-1069; run: 95 s late",
)
def restore_is_slow(app: AppFacts) -> Signs:
    """Overdue messages are looked for seldom."""
    options = {**RESTORE_DEFAULTS, **app.transport_options}
    seconds = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    if app.on_stock_redis and seconds > SLOW_RESTORE_SECONDS:
        yield app.name, f"each {seconds:g} s"


@rule(
    Severity.ERROR,
    consequence="A worker that is killed between taking a message and noting it loses the message.",
    fix='Declare a fleet with `transport = "hardened"`.',
    source="kombu/transport/redis.py:1476-1491; run: 0.37 messages a kill",
)
def take_is_not_atomic(app: AppFacts) -> Signs:
    """Messages are taken in two steps."""
    if app.on_stock_redis:
        yield app.name, "kombu's own Redis transport"


@rule(
    Severity.ERROR,
    consequence="A worker that gets it exits, and some messages are put back and end the next worker too.",
    fix='Declare a fleet with `transport = "hardened"`: such messages become dead letters.',
    source="celery#4308, celery#7975; run: six kinds of message",
)
def malformed_message_stops_workers(app: AppFacts) -> Signs:
    """Nothing keeps a malformed message from the workers."""
    if app.on_stock_redis:
        yield app.name, "kombu's own Redis transport"


@rule(
    Severity.ERROR,
    consequence="Workers that are busy when Redis goes away exit with 1 instead of waiting for it.",
    fix='Declare a fleet with `transport = "hardened"`, and restart workers always.',
    source="celery/worker/consumer/consumer.py:485-487 (5.7.0); run: 10 of 10",
)
def outage_ends_busy_workers(app: AppFacts) -> Signs:
    """An outage of Redis ends busy workers."""
    if app.on_stock_redis:
        yield app.name, "Celery 5.7 on kombu's own Redis transport"
