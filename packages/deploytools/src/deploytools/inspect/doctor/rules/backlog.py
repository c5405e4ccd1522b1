"""What waits, and for whom."""

from collections.abc import Mapping

from deploytools.fleet import Fleet
from deploytools.inspect.doctor.evidence import Backlog, WorkerFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule


@rule(
    Severity.WARNING,
    consequence="The tier does not keep its promise now.",
    fix="`deploytools autoscale.explain` says why its pools have their size; raise the bound, or add a worker.",
    source="the fleet file",
)
def promise_broken(fleet: Fleet, queues: Mapping[str, Backlog]) -> Occurrences:
    """A task has waited longer than its tier promises."""
    for tier in fleet:
        oldest = queues[tier.queue].oldest_seconds if tier.queue in queues else None
        if oldest is not None and oldest > tier.start_within_seconds:
            yield tier.queue, f"{oldest:.1f} s, promised {tier.start_within_seconds:g} s"


@rule(
    Severity.ERROR,
    consequence="They wait until a worker of this queue starts.",
    fix="Start one: `deploytools worker.<tier>`, or `celery worker -Q <queue>`; look at why it is not there.",
    source="`inspect active_queues`",
)
def backlog_without_worker(queues: Mapping[str, Backlog], workers: tuple[WorkerFacts, ...] = ()) -> Occurrences:
    """Messages wait in a queue that nobody consumes."""
    consumed = {queue for worker in workers for queue in worker.queues}
    for name, backlog in queues.items():
        if backlog.depth and name not in consumed:
            yield name, f"{backlog.depth} messages, no worker that answers"


@rule(
    Severity.WARNING,
    consequence="They come back when their lease, or on kombu's transport the visibility timeout, has passed.",
    fix="Start workers, and find out what killed the last ones.",
    source="kombu/transport/redis.py:523-549",
)
def unacked_held_by_nobody(unacked: int, workers: tuple[WorkerFacts, ...] = ()) -> Occurrences:
    """Messages are taken, and no worker answers."""
    if unacked and not workers:
        yield "unacked", f"{unacked} messages"


@rule(
    Severity.WARNING,
    consequence="Accepted work that has not been done; it waits for a decision.",
    fix="`deploytools dead.list`, then `dead.replay` or `dead.purge`.",
    source="docs/explanation-transport.md",
)
def dead_letters_wait(dead: Mapping[str, int]) -> Occurrences:
    """There are dead letters."""
    for tier, count in dead.items():
        if count:
            yield f"tier {tier}", f"{count} dead letters"
