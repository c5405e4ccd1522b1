"""What a load run offers, to any fleet: a shape for the tier with the tightest promise, and one for the others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from random import Random

from deploytools.fleet import Fleet, Tier
from deploytools.load.arrivals import at_random, evenly, in_bursts


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Poisson arrivals, or evenly spaced ones."""

    per_second: float
    even: bool = False

    def count(self, seconds: float) -> int:
        """Return how many tasks to expect in some seconds, and a few more: arrivals may come close together."""
        return 10 + ceil(self.per_second * seconds)

    def arrivals(self, random: Random) -> Iterator[float]:
        """Yield when to send, in seconds from the start."""
        return evenly(self.per_second) if self.even else at_random(self.per_second, random)

    def times(self, factor: float) -> "Stream":
        """Return the same at a multiple of its rate."""
        return replace(self, per_second=self.per_second * factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bursts:
    """So many at once, again and again."""

    size: int
    every_seconds: float

    def count(self, seconds: float) -> int:
        """Return how many tasks to expect in some seconds."""
        return self.size * ceil(seconds / self.every_seconds)

    def arrivals(self, _: Random) -> Iterator[float]:
        """Yield when to send, in seconds from the start."""
        return in_bursts(self.size, self.every_seconds)

    def times(self, factor: float) -> "Bursts":
        """Return bursts of a multiple of the size."""
        return replace(self, size=max(1, round(self.size * factor)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Saturate:
    """As many tasks waiting or running, for each process the tier may have, that none is ever idle.

    The one closed loop: it is there to fill a tier, so a wait measured in it says how much was put there.
    """

    tasks_per_process: int = 2

    def times(self, _: float) -> "Saturate":
        """Return itself: full is full."""
        return self


Shape = Stream | Bursts | Saturate


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """How long to offer what. `drain_seconds` is how long accepted tasks may take to be done after the last one.

    `may_be_refused`: a publish that fails with an error does not fail the run.
    """

    name: str
    tightest: Shape
    others: Shape
    seconds: float
    drain_seconds: float = 30.0
    may_be_refused: bool = False

    def shape(self, fleet: Fleet, tier: Tier) -> Shape:
        """Return what a tier is offered."""
        return self.tightest if tier == tightest_tier(fleet) else self.others

    def times(self, factor: float) -> "Profile":
        """Return the same at a multiple of its rates."""
        return replace(self, tightest=self.tightest.times(factor), others=self.others.times(factor))


def tightest_tier(fleet: Fleet) -> Tier:
    """Return the tier with the shortest promise."""
    return min(fleet, key=lambda tier: tier.start_within_seconds)


PROFILES = {
    profile.name: profile
    for profile in (
        # Does anything work at all?
        Profile(name="smoke", tightest=Stream(per_second=2), others=Stream(per_second=1), seconds=10),
        # An ordinary hour, shortened.
        Profile(name="steady", tightest=Stream(per_second=10), others=Stream(per_second=5), seconds=60),
        # Everybody presses the button at once.
        Profile(name="burst", tightest=Bursts(size=200, every_seconds=10), others=Stream(per_second=2), seconds=30),
        # What tiers are for: the others are full, the tightest goes on as if they were not there.
        Profile(name="flood", tightest=Stream(per_second=5), others=Saturate(), seconds=30),
        # Leaks, drift, recycling.
        Profile(name="soak", tightest=Stream(per_second=5), others=Stream(per_second=2), seconds=3600),
        # Long enough to stop a worker, a broker or a host meanwhile; evenly, so that the gap shows. What a publisher
        # was told is not accepted is not lost.
        Profile(
            name="failover",
            tightest=Stream(per_second=10, even=True),
            others=Stream(per_second=5, even=True),
            seconds=120,
            drain_seconds=180,
            may_be_refused=True,
        ),
    )
}
