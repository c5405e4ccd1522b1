"""What a project offers when it is asked for load: its own tasks, on real input."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import Any

from deploytools.errors import WorkloadError
from deploytools.fleet import Fleet, Tier


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A task and a maker of its arguments. The maker runs just before each publish: keep it quick.

    `queue` sends it elsewhere than its declared route.
    """

    task: str
    make_arguments: Callable[[Random], tuple[Any, ...]]
    queue: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Offers, one or more a tier."""

    offers: tuple[Offer, ...]

    def of_tier(self, fleet: Fleet, tier: Tier) -> tuple[Offer, ...]:
        """Return the offers that are routed to a tier."""
        return tuple(offer for offer in self.offers if _tier(fleet, offer) == tier)


def _tier(fleet: Fleet, offer: Offer) -> Tier | None:
    return fleet.tier_of_queue(offer.queue) if offer.queue else fleet.tier_of_task(offer.task)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A table of what tasks have made, for people to look at."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a project's workload comes from.

    `prepare` makes the input the tasks need (it may store pictures, say) and returns the workload. `environment` is set
    for the fleet that a demo starts. `show` says, after a demo, what came of it.
    """

    prepare: Callable[[], Workload]
    environment: Mapping[str, str] = field(default_factory=dict)
    show: Callable[[], Iterable[Shown]] = tuple


def load_source(fleet: Fleet) -> Source:
    """Import what `[fleet] workload` names; raise WorkloadError."""
    if fleet.workload is None:
        raise WorkloadError(
            'the fleet file names no workload: add workload = "module:attribute" to [fleet], '
            "an instance of deploytools.load.workload.Source"
        )
    module, _, attribute = fleet.workload.partition(":")
    try:
        source = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise WorkloadError(f"workload {fleet.workload}: {error}: correct [fleet] workload") from error
    if not isinstance(source, Source):
        raise WorkloadError(f"workload {fleet.workload}: it is a {type(source).__name__}, not a Source")
    return source
