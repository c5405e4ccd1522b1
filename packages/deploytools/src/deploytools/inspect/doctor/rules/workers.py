"""Workers that answer."""

from deploytools.fleet import Fleet
from deploytools.inspect.doctor.evidence import AppFacts, RunFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule

Workers = tuple[WorkerFacts, ...]

# Waits are a difference of two hosts' clocks: this much spoils a promise of one second.
MAX_OFFSET_SECONDS = 0.5
# A first run is cold if it takes this many times as long as later ones, and longer by this part of the promise.
COLD_TIMES, COLD_SHARE = 3.0, 0.1
# Means of fewer runs say nothing.
MIN_FIRST_RUNS, MIN_LATER_RUNS = 2, 10


@rule(
    Severity.ERROR,
    consequence="It may take fewer tasks than it may have processes: its pool never grows to its bound again.",
    fix="Restart it; then `worker_enable_prefetch_count_reduction = False`.",
    source="celery/worker/consumer/consumer.py:508-515; run",
)
def pool_cannot_grow(app: AppFacts, workers: Workers) -> Occurrences:
    """A worker's prefetch is below its autoscale bound."""
    late = app.own_tasks and all(task.acks_late for task in app.own_tasks.values())
    for worker in workers:
        scales = worker.largest > worker.processes
        if late and scales and 0 < worker.prefetch_count < worker.largest:
            yield worker.node, f"prefetch {worker.prefetch_count}, up to {worker.largest} processes"


@rule(
    Severity.WARNING,
    consequence="Waits are measured wrong by as much, and ETA and expiry come early or late.",
    fix="Run NTP on its host.",
    source="control command deploytools_clock",
)
def clock_is_off(workers: Workers) -> Occurrences:
    """A worker's clock differs from ours."""
    for worker in workers:
        offset = worker.clock_offset_seconds
        if offset is not None and abs(offset) > MAX_OFFSET_SECONDS:
            yield worker.node, f"{offset:+.1f} s at least"


@rule(
    Severity.WARNING,
    consequence="Each new pool process makes the queue behind it wait: at a start, in a burst, when one is recycled.",
    fix='Name what the task imports late in the tier\'s `preload = ["…"]`; open its clients in a function with '
    "`@deploytools.worker.warm_up`.",
    source="inspect stats: first_runs; run: 1.3 to 2.4 s instead of 0.02 to 0.1 s",
)
def first_runs_are_cold(fleet: Fleet, workers: Workers) -> Occurrences:
    """The first run of a task in a pool process takes far longer than later ones."""
    for worker in workers:
        for task, runs in worker.runs.items():
            first = f"{runs.first_seconds:.2f} s in {runs.first_count} first runs"
            if _is_cold(runs, fleet.tier_of_task(task).start_within_seconds):
                yield f"{worker.node}: {task}", f"{first}, {runs.later_seconds:.2f} s in {runs.later_count} later ones"


@rule(
    Severity.ERROR,
    consequence="The worker has fewer processes than it should, or takes no tasks at all; it tries again ever later.",
    fix="Correct what the warm-up needs; its log line names the error. The worker needs no restart.",
    source="inspect stats: warm_up",
)
def warm_up_fails(workers: Workers) -> Occurrences:
    """Pool processes end before they are warm."""
    for worker in workers:
        if worker.warm_up_failing:
            yield worker.node, worker.warm_up_failing


def _is_cold(runs: RunFacts, promise_seconds: float) -> bool:
    enough = runs.first_count >= MIN_FIRST_RUNS and runs.later_count >= MIN_LATER_RUNS
    longer_seconds = runs.first_seconds - runs.later_seconds
    return (
        enough
        and runs.first_seconds > COLD_TIMES * runs.later_seconds
        and longer_seconds > COLD_SHARE * promise_seconds
    )
