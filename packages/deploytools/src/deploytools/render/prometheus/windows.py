"""How long rules look back."""

from dataclasses import dataclass

SCRAPE_SECONDS = 15
MINUTE, HOUR, DAY = 60, 3600, 86400
# The windows that waits and rates are computed over, as rule names have them.
SPANS = {"5m": 5 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "6h": 6 * HOUR}


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Windows as they are named, or all divided by `shrink`: then rules can be tried in seconds."""

    shrink: int = 1

    def of(self, seconds: int) -> str:
        """Return a window as PromQL has it."""
        return duration(self.seconds(seconds))

    def seconds(self, seconds: int) -> int:
        """Return how long a window is; the shortest is a second."""
        return max(1, seconds // self.shrink)


def duration(seconds: int) -> str:
    """Return seconds in the largest unit that fits, as Prometheus reads it."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
