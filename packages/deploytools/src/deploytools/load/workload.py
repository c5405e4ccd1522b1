"""What a project offers when it is asked for load: its own tasks, on real input."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import Any

from deploytools.errors import WorkloadError
from deploytools.fleet import Fleet, Tier
from deploytools.worker.synthetic import SERVE


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTemplate:
    """A task and a maker of its arguments. The maker runs before the time to send, and may take its time.

    `queue` sends it elsewhere than its declared route.
    """

    task: str
    make_arguments: Callable[[Random], tuple[Any, ...]]
    queue: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A task with its arguments, ready to be sent. `queue`: None sends it by its declared route."""

    task: str
    arguments: tuple[Any, ...]
    queue: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Offers, one or more a tier."""

    offers: tuple[TaskTemplate, ...]

    def of_tier(self, fleet: Fleet, tier: Tier) -> tuple[TaskTemplate, ...]:
        """Return the offers that are routed to a tier."""
        return tuple(offer for offer in self.offers if _tier(fleet, offer) == tier)

    def calls(self, fleet: Fleet, tier: Tier, random: Random) -> Iterator[Call]:
        """Yield calls of a tier's tasks without end; nothing where it has no offers.

        `random` chooses the tasks. Arguments are new in each run: an id that an earlier run stored is work done.
        """
        offers, inputs = self.of_tier(fleet, tier), Random()  # noqa: S311 — no secret
        while offers:
            offer = random.choice(offers)
            yield Call(task=offer.task, arguments=offer.make_arguments(inputs), queue=offer.queue)


def _tier(fleet: Fleet, offer: TaskTemplate) -> Tier | None:
    return fleet.tier_of_queue(offer.queue) if offer.queue else fleet.tier_of_task(offer.task)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultTable:
    """A table of what tasks have made, for people to look at."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkloadProvider:
    """Where a project's workload comes from.

    `prepare` makes the input the tasks need (it may store pictures, say) and returns the workload. The processes of a
    load run call it one after another, so it finds what an earlier call has stored. `environment` is set
    for the fleet that a demo starts. `show` says, after a demo, what came of it.
    """

    prepare: Callable[[], Workload]
    environment: Mapping[str, str] = field(default_factory=dict)
    show: Callable[[], Iterable[ResultTable]] = tuple


def load_workload_provider(fleet: Fleet) -> WorkloadProvider:
    """Import what `[fleet] workload` names; raise WorkloadError."""
    if fleet.workload is None:
        raise WorkloadError(
            'the fleet file names no workload: add workload = "module:attribute" to [fleet], '
            "an instance of deploytools.load.workload.WorkloadProvider"
        )
    module, _, attribute = fleet.workload.partition(":")
    try:
        source = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise WorkloadError(f"workload {fleet.workload}: {error}: correct [fleet] workload") from error
    if not isinstance(source, WorkloadProvider):
        raise WorkloadError(f"workload {fleet.workload}: it is a {type(source).__name__}, not a WorkloadProvider")
    return source


def choose_workload(fleet: Fleet, synthetic_seconds: float) -> Workload:
    """Prepare the project's own workload, or one of tasks that only take time; raise WorkloadError."""
    if not synthetic_seconds:
        return load_workload_provider(fleet).prepare()
    return Workload(
        offers=tuple(
            TaskTemplate(task=SERVE, make_arguments=lambda _: (synthetic_seconds,), queue=tier.queue) for tier in fleet
        )
    )
