"""What runs now: workers that hoard, lag, or lack tasks; promises that are broken at this moment."""

from collections.abc import Mapping

from deploytools.fleet import Fleet
from deploytools.inspect.doctor.evidence import AppFacts, Backlog, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.commands import counted

# Waits and ETAs compare clocks of two hosts; a tier's promise may be half a second.
CLOCK_SECONDS = 0.5
# Each task with an ETA raises a worker's prefetch by one, and what never comes down is a hoard.
HOARD_TIMES = 10
SMALLEST_PROCESS_MIB = 64
MIB = {"M": 1, "G": 1024}


@rule(
    Severity.ERROR,
    consequence="It refuses their messages: they become dead letters, or are deleted without a fleet.",
    fix="Deploy workers before publishers, and import the tasks' modules in them.",
    source="celery/worker/consumer/consumer.py:752-783; the guide's `import errors`",
)
def tasks_not_registered(app: AppFacts, workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker lacks tasks of the application."""
    for worker in workers:
        if lacking := sorted(set(app.own_tasks) - worker.registered):
            yield worker.node, f"lacks {counted(lacking)}"


@rule(
    Severity.ERROR,
    consequence="Its pool cannot grow: it may take no more than it has processes now.",
    fix="Restart it, and set `worker_enable_prefetch_count_reduction = False`.",
    source="celery/worker/consumer/consumer.py:508-515 (5.7.0); run",
)
def prefetch_below_pool(workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker may take less than its largest pool can run."""
    for worker in workers:
        if 0 < worker.prefetch_count < worker.largest:
            yield worker.node, f"prefetch {worker.prefetch_count}, up to {worker.largest} processes"


@rule(
    Severity.WARNING,
    consequence="It holds what other workers could run; the queue looks empty meanwhile.",
    fix="Restart it; bound tasks with an ETA by `worker_eta_task_limit`.",
    source="mitodl/ol-infrastructure#5598",
)
def worker_hoards(workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker may take far more than it can run."""
    for worker in workers:
        if worker.prefetch_count > HOARD_TIMES * max(worker.largest, 1):
            yield worker.node, f"prefetch {worker.prefetch_count}, up to {worker.largest} processes"


@rule(
    Severity.WARNING,
    consequence="Waits are measured wrong, ETAs and expiry come early or late by as much.",
    fix="Run NTP on that host.",
    source="celery/events/state.py:50-57",
)
def clock_is_off(workers: tuple[WorkerFacts, ...]) -> Signs:
    """A worker's clock differs from ours."""
    for worker in workers:
        offset = worker.clock_offset_seconds
        if offset is not None and abs(offset) > CLOCK_SECONDS:
            yield worker.node, f"at least {offset:+.2f} s"


@rule(
    Severity.WARNING,
    consequence="They come back when their lease or the visibility timeout ends, and not before.",
    fix="Wait for that; if they stay, start a worker, which looks for overdue messages.",
    source="kombu/transport/redis.py:523-549",
)
def messages_held_by_nobody(unacked: int, workers: tuple[WorkerFacts, ...] = ()) -> Signs:
    """Messages are taken, and no worker holds any."""
    if unacked and not any(worker.held for worker in workers or ()):
        yield "unacked", f"{unacked} messages; {len(workers or ())} workers answer and hold none"


@rule(
    Severity.ERROR,
    consequence="The tier's promise is broken for every task behind it as well.",
    fix="See `deploytools autoscale.explain`: raise `autoscale.max` or `replicas`, or lower the load.",
    source="the fleet file's promise",
)
def promise_broken_now(fleet: Fleet, queues: Mapping[str, Backlog]) -> Signs:
    """The next task of a tier has waited for longer than promised."""
    for tier in fleet:
        backlog = queues.get(tier.queue)
        if backlog and (backlog.oldest_seconds or 0) > tier.start_within_seconds:
            yield tier.name, f"{backlog.oldest_seconds:.1f} s, {tier.start_within_seconds:g} s are promised"


@rule(
    Severity.WARNING,
    consequence="Accepted tasks did not run to their end.",
    fix="`deploytools dead.list` has the reasons; `dead.replay` runs them again, `dead.purge` forgets them.",
    source="deploytools/transport/dead.py",
)
def dead_letters_wait(dead: Mapping[str, int]) -> Signs:
    """There are dead letters."""
    for tier, count in sorted(dead.items()):
        if count:
            yield tier, f"{count} dead letters"


@rule(
    Severity.WARNING,
    consequence="A full pool does not fit: the kernel kills processes, and their tasks run again elsewhere.",
    fix="Raise `resources.memory`, or lower `autoscale.max`.",
    source="measured: an idle process of the reference application takes 40 to 60 MiB",
)
def memory_too_small_for_pool(fleet: Fleet) -> Signs:
    """A tier's memory does not hold its largest pool."""
    for tier in fleet:
        if tier.resources is None:
            continue
        mib = int(tier.resources.memory[:-1]) * MIB[tier.resources.memory[-1]]
        if mib < SMALLEST_PROCESS_MIB * (tier.autoscale.max + 1):
            yield tier.name, f"{tier.resources.memory} for {tier.autoscale.max} processes and the worker itself"
