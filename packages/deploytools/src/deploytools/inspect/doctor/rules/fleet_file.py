"""The fleet file against the application and what runs."""

from deploytools.fleet import Fleet
from deploytools.inspect.doctor.evidence import AppFacts, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import counted

# A promise that a restart of the only worker breaks: Celery takes about this long to be ready.
RESTART_SECONDS = 2.0


@rule(
    Severity.ERROR,
    consequence="Tasks go to other queues than the tiers' workers consume.",
    fix="`app = install(Celery(…))` from deploytools.worker, where the application is made.",
    source="deploytools.worker.install",
)
def fleet_not_installed(fleet: Fleet, app: AppFacts) -> Occurrences:
    """The application does not have its fleet's queues."""
    if missing := sorted({queue.name for queue in fleet.queues()} - app.queue_names):
        yield fleet.app, f"not declared: {counted(missing)}"


@rule(
    Severity.NOTE,
    consequence="It runs on the default tier, with that tier's limit and promise.",
    fix="Name it in a tier's `tasks`, if that is not what you mean.",
    source="the fleet file",
)
def task_in_no_tier(fleet: Fleet, app: AppFacts) -> Occurrences:
    """A task belongs to the default tier because no pattern names it."""
    strangers = sorted(task for task in app.own_tasks if not any(tier.runs(task) for tier in fleet))
    if strangers:
        yield f"default_tier {fleet.default_tier}", counted(strangers)


@rule(
    Severity.NOTE,
    consequence="While that worker restarts, the promise is broken.",
    fix="`replicas = 2`.",
    source="docs/explanation-fleet.md",
)
def tier_without_spare(fleet: Fleet) -> Occurrences:
    """One worker has to keep a promise that is shorter than its restart."""
    for tier in fleet:
        if tier.replicas == 1 and tier.start_within_seconds < RESTART_SECONDS:
            yield f"tiers.{tier.name}", f"replicas = 1, start_within_seconds = {tier.start_within_seconds:g}"


@rule(
    Severity.NOTE,
    consequence="The tier has less room than it was declared with.",
    fix="Start the others: `deploytools up --replicas`, or correct `replicas`.",
    source="the fleet file",
)
def replicas_missing(fleet: Fleet, workers: tuple[WorkerFacts, ...]) -> Occurrences:
    """Fewer workers answer than the tier declares."""
    for tier in fleet:
        running = sum(tier.queue in worker.queues for worker in workers)
        if running < tier.replicas:
            yield f"tiers.{tier.name}", f"{running} of {tier.replicas}"
