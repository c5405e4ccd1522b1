"""Workers that answer."""

from deploytools.inspect.doctor.evidence import AppFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule

Workers = tuple[WorkerFacts, ...]

# Waits are a difference of two hosts' clocks: this much spoils a promise of one second.
MOST_OFFSET_SECONDS = 0.5


@rule(
    Severity.ERROR,
    consequence="It may take fewer tasks than it may have processes: its pool never grows to its bound again.",
    fix="Restart it; then `worker_enable_prefetch_count_reduction = False`.",
    source="celery/worker/consumer/consumer.py:508-515; run",
)
def pool_cannot_grow(app: AppFacts, workers: Workers) -> Signs:
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
def clock_is_off(workers: Workers) -> Signs:
    """A worker's clock differs from ours."""
    for worker in workers:
        offset = worker.clock_offset_seconds
        if offset is not None and abs(offset) > MOST_OFFSET_SECONDS:
            yield worker.node, f"{offset:+.1f} s at least"
