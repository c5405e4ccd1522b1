"""What a worker did, as Prometheus metrics.

Counted in the worker's main process alone, from what Celery tells it of each task: processes may be recycled or
killed, and nothing is lost, doubled, or left behind in a file. Plain numbers: `prometheus_client`'s own counters turn
into files a process where PROMETHEUS_MULTIPROC_DIR is set.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

# Where waits and durations are told apart, in seconds; each tier's promise is added, so that keeping it can be counted.
BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
# So many publishers are told apart; the others count as one. A name is a host's: new containers have new ones.
MAX_PUBLISHERS = 200
OTHERS = "others"

COUNTERS = {
    "celery_task_submissions": "Tasks taken up for the first time; those that still wait are celery_queue_depth.",
    "celery_task_completions": "Tasks that ended well.",
    "celery_task_failures": "Tasks that ended in an error for good, lost processes and time limits included.",
    "celery_task_retries": "Tasks that asked to be run again later.",
}


class Key(NamedTuple):
    """What a task is counted under."""

    tier: str
    task: str


class Histogram:
    """Counts of values by bound, as Prometheus wants them, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return (bound, how many values up to it)."""
        names = [*map(str, self.bounds), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, accumulate(self.counts), strict=True)]


class Counts:
    """All counts of one worker; `collect` is what prometheus_client reads."""

    def __init__(self, promises_seconds: Iterable[float] = ()) -> None:
        self._bounds = tuple(sorted({*BOUNDS_SECONDS, *promises_seconds}))
        self._counters: dict[str, Counter[Key]] = {name: Counter() for name in COUNTERS}
        self._waits: dict[Key, Histogram] = {}
        self._durations: dict[Key, Histogram] = {}
        self._first_durations: dict[Key, Histogram] = {}
        self._publishers: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def count_submission(self, key: Key, *, publisher: str) -> None:
        """Count a task that is taken up for the first time."""
        self._counters["celery_task_submissions"][key] += 1
        known = publisher in self._publishers or len(self._publishers) < MAX_PUBLISHERS
        self._publishers[publisher if known else OTHERS] += 1

    def count_start(self, key: Key, *, wait_seconds: float) -> None:
        """Count a task that starts, and how long it waited."""
        self._observe(self._waits, key, wait_seconds)

    def count_success(self, key: Key) -> None:
        """Count a task that ended well."""
        self._counters["celery_task_completions"][key] += 1

    def count_failure(self, key: Key) -> None:
        """Count a task that failed for good."""
        self._counters["celery_task_failures"][key] += 1

    def count_retry(self, key: Key) -> None:
        """Count a task that will be run again."""
        self._counters["celery_task_retries"][key] += 1

    def count_duration(self, key: Key, seconds: float, *, is_first_run: bool = False) -> None:
        """Count how long a task ran, however it ended; its first run in a process once more by itself."""
        self._observe(self._durations, key, seconds)
        if is_first_run:
            self._observe(self._first_durations, key, seconds)

    def count_rejected(self, reason: str) -> None:
        """Count a message that became a dead letter."""
        self._rejected[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; another thread may call."""
        for name, counter in self._counters.items():
            family = CounterMetricFamily(name, COUNTERS[name], labels=Key._fields)
            for key, count in counter.copy().items():
                family.add_metric(key, count)
            yield family
        yield _histogram("celery_task_wait_seconds", "From publish (or ETA) to start.", self._waits)
        yield _histogram("celery_task_duration_seconds", "From start to end.", self._durations)
        yield _histogram(
            "celery_task_first_run_seconds", "From start to end, first run in a process.", self._first_durations
        )
        publishers = CounterMetricFamily(
            "celery_task_publisher_submissions", "Tasks taken up for the first time.", labels=["publisher"]
        )
        for publisher, count in self._publishers.copy().items():
            publishers.add_metric([publisher], count)
        yield publishers
        rejected = CounterMetricFamily(
            "celery_messages_rejected", "Messages that became dead letters.", labels=["reason"]
        )
        for reason, count in self._rejected.copy().items():
            rejected.add_metric([reason], count)
        yield rejected

    def _observe(self, histograms: dict[Key, Histogram], key: Key, seconds: float) -> None:
        found = histograms.get(key)
        if found is None:
            found = histograms[key] = Histogram(self._bounds)
        found.observe(seconds)


def _histogram(name: str, text: str, histograms: dict[Key, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=Key._fields)
    for key, histogram in histograms.copy().items():
        family.add_metric(key, histogram.buckets(), histogram.sum)
    return family
