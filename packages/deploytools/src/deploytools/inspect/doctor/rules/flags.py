"""Flags of workers that do something else than they seem to."""

from deploytools.inspect.doctor.evidence import STOCK_AUTOSCALER, AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import Commands, flag, given, workers_of

# A Python process with Celery imported is over this from the start: whoever writes less means MiB. The unit is KiB.
SMALLEST_PROCESS_KIB = 32 * 1024
PROCESS_POOLS = frozenset({"prefork", "processes"})
POOLS_WITHOUT_LIMITS = frozenset({"threads", "solo"})


@rule(
    Severity.ERROR,
    consequence="The program ends at once with a usage error: nothing is consumed.",
    fix="Correct the command line; global options (-A, -b) stand before `worker` since Celery 5.",
    source="Celery's own parser",
)
def command_line_refused(commands: Commands) -> Occurrences:
    """Celery refuses the command line."""
    for command in commands:
        if command.refused:
            yield command.where, command.refused


@rule(
    Severity.WARNING,
    consequence="The pool starts with the autoscale minimum; the concurrency is ignored.",
    fix="Raise the minimum (`--autoscale=8,4`), or declare a fleet, whose pools do start at the concurrency.",
    source="celery/worker/components.py:117-127; run: 2 processes",
)
def concurrency_ignored(commands: Commands, app: AppFacts | None = None) -> Occurrences:
    """A concurrency stands beside autoscale bounds."""
    if app is not None and app.conf["worker_autoscaler"] != STOCK_AUTOSCALER:
        return
    for command in workers_of(commands):
        if {"concurrency", "autoscale"} <= set(command.options):
            most, least = command.options["autoscale"]
            yield command.where, f"--concurrency={command.options['concurrency']} beside --autoscale={most},{least}"


@rule(
    Severity.NOTE,
    consequence="Nothing: `fair` and `default` have been the same strategy since Celery 4.",
    fix="Leave the flag out; late acknowledgement with prefetch 1 is what keeps tasks from waiting behind long ones.",
    source="celery/concurrency/asynpool.py:81-87",
)
def fair_redundant(commands: Commands) -> Occurrences:
    """`-O fair` is given as if it changed something."""
    yield from given(commands, "optimization", "fair")


@rule(
    Severity.WARNING,
    consequence="Flower and exporters show the living worker as offline ten seconds after its last event. "
    "Redis does nothing in its place.",
    fix="Leave it out; `--heartbeat-interval=10` makes heartbeats a fifth as frequent.",
    source="celery/worker/consumer/heart.py:23; run with Flower 2.2",
)
def heartbeat_off(commands: Commands) -> Occurrences:
    """The worker sends no heartbeat events."""
    yield from given(commands, "without_heartbeat")


@rule(
    Severity.WARNING,
    consequence="The event dispatcher is off: Flower, exporters and `celery events` never learn of this worker, "
    "nor of any task it runs.",
    fix="Keep heartbeats, or add `-E`.",
    source="celery/worker/consumer/events.py:25-31; run",
)
def events_off(commands: Commands, app: AppFacts | None = None) -> Occurrences:
    """Gossip and heartbeats are off, and task events too."""
    if app is not None and app.conf["worker_send_task_events"]:
        return
    for command in workers_of(commands):
        options = command.options
        if options.get("without_gossip") and options.get("without_heartbeat") and not options.get("task_events"):
            yield command.where, "--without-gossip --without-heartbeat, no -E"


@rule(
    Severity.NOTE,
    consequence="A worker that restarts does not learn from its peers which tasks were revoked, and runs them.",
    fix="If you revoke tasks, add `--statedb=FILE`; if not, nothing.",
    source="celery/worker/consumer/mingle.py:36-60",
)
def revokes_forgotten(commands: Commands) -> Occurrences:
    """Mingle is off and revoked tasks are kept nowhere."""
    for command in workers_of(commands):
        if command.options.get("without_mingle") and not command.options.get("statedb"):
            yield command.where, "--without-mingle, no --statedb"


@rule(
    Severity.WARNING,
    consequence="Nothing: the 0 is taken for `not given`, and the setting (4 by default) holds.",
    fix="Set `worker_prefetch_multiplier = 0` for no limit, or `--disable-prefetch` to take only what can run.",
    source="celery/bin/worker.py:198-206",
)
def multiplier_zero_ignored(commands: Commands) -> Occurrences:
    """The prefetch multiplier is 0 on the command line."""
    yield from given(commands, "prefetch_multiplier", 0)


@rule(
    Severity.ERROR,
    consequence="The first burst ends the worker: this pool has no `grow` (AttributeError, exit code 1).",
    fix="Leave `--autoscale` out and give `--concurrency`, or use processes.",
    source="celery#5333; run on 5.7.0",
)
def autoscale_without_processes(commands: Commands) -> Occurrences:
    """A pool of threads is to be autoscaled."""
    for command in workers_of(commands):
        if command.pool == "threads" and command.options.get("autoscale"):
            yield command.where, f"--pool={command.pool} with --autoscale"


@rule(
    Severity.WARNING,
    consequence="The limit is accepted and never applied: a task that hangs hangs for ever.",
    fix="Use processes for tasks that need a limit, or time out inside the task.",
    source="celery/concurrency/thread.py, solo.py: on_apply takes no timeout",
)
def time_limit_not_applied(commands: Commands) -> Occurrences:
    """A hard time limit is set on a pool that has none."""
    for command in workers_of(commands):
        if command.pool in POOLS_WITHOUT_LIMITS and (limit := command.options.get("time_limit")):
            yield command.where, f"{flag('time_limit', limit)} with --pool={command.pool}"


@rule(
    Severity.WARNING,
    consequence="Celery counts the hard limit from the soft one: the task runs until the soft limit, however far above "
    "the hard one, and is killed at once. It has no time to clean up.",
    fix="Set the soft limit below the hard one, by as much as cleaning up takes.",
    source="celery/concurrency/asynpool.py:634-663",
)
def soft_limit_not_below_hard(commands: Commands) -> Occurrences:
    """The soft time limit is not below the hard one."""
    for command in workers_of(commands):
        hard, soft = command.options.get("time_limit"), command.options.get("soft_time_limit")
        if hard and soft and soft >= hard:
            yield command.where, f"{flag('soft_time_limit', soft)} {flag('time_limit', hard)}"


@rule(
    Severity.WARNING,
    consequence="What tasks leak stays: memory grows until the host kills a process, and its task with it.",
    fix="Add `--max-tasks-per-child=1000`, and `--max-memory-per-child` (KiB) if one task may take much.",
    source="celery#4843",
)
def children_never_replaced(commands: Commands, app: AppFacts | None = None) -> Occurrences:
    """Pool processes live as long as the worker."""
    bounds = ("max_tasks_per_child", "max_memory_per_child")
    if app is not None and any(app.conf[f"worker_{bound}"] for bound in bounds):
        return
    for command in workers_of(commands):
        if command.pool in PROCESS_POOLS and not any(command.options.get(bound) for bound in bounds):
            yield command.where, "neither --max-tasks-per-child nor --max-memory-per-child"


@rule(
    Severity.ERROR,
    consequence="The unit is KiB. Each process is over its bound from the start and is replaced after every task.",
    fix="Multiply by 1024.",
    source="billiard/pool.py:431-438",
)
def memory_bound_in_wrong_unit(commands: Commands) -> Occurrences:
    """The memory bound of a process is below what Python itself takes."""
    for command in workers_of(commands):
        bound = command.options.get("max_memory_per_child")
        if bound and bound < SMALLEST_PROCESS_KIB:
            yield command.where, f"--max-memory-per-child={bound}: {bound / 1024:.1f} MiB"
