"""Two runs side by side: is one's wait really longer? A rank test on what was measured."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram
from rich.table import Table

from deploytools.errors import SettingError
from deploytools.inspect.layout import make_table

# Below this probability a difference is called real.
SIGNIFICANT = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One tier's wait in two runs. `p_value`: how likely ranks so far apart are if the runs did not differ.

    `a_longer_share`: of all pairs of a task of A and one of B, the share in which A's waited longer (ties count half).
    """

    tier: str
    a_p50_seconds: float
    b_p50_seconds: float
    a_p99_seconds: float
    b_p99_seconds: float
    a_longer_share: float
    p_value: float

    @property
    def verdict(self) -> str:
        """Say which run waited longer, or that one cannot tell."""
        if self.p_value >= SIGNIFICANT:
            return "no difference seen"
        return "A waits longer" if self.a_longer_share > 0.5 else "B waits longer"


def compare_runs(a: Path, b: Path) -> list[Difference]:
    """Compare the waits of the tiers that both runs have (Mann-Whitney U, two-sided, from the saved histograms)."""
    first, second = (_waits(path) for path in (a, b))
    return [
        _difference(tier, first[tier], second[tier])
        for tier in first
        if tier in second and first[tier].get_total_count() and second[tier].get_total_count()
    ]


def _difference(tier: str, a: HdrHistogram, b: HdrHistogram) -> Difference:
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(_values(a), _values(b))
    return Difference(
        tier=tier,
        a_p50_seconds=a.get_value_at_percentile(50) / 1e6,
        b_p50_seconds=b.get_value_at_percentile(50) / 1e6,
        a_p99_seconds=a.get_value_at_percentile(99) / 1e6,
        b_p99_seconds=b.get_value_at_percentile(99) / 1e6,
        a_longer_share=float(test.statistic) / (a.get_total_count() * b.get_total_count()),
        p_value=float(test.pvalue),
    )


def differences_table(differences: Iterable[Difference]) -> Table:
    """Return a row a tier: its waits in both runs, and which are longer."""
    numbers = ("A p50", "B p50", "A p99", "B p99", "p value")
    table = make_table("Queue wait, ms", "tier", *numbers, "verdict", numbers=numbers)
    for one in differences:
        waits = (one.a_p50_seconds, one.b_p50_seconds, one.a_p99_seconds, one.b_p99_seconds)
        table.add_row(one.tier, *(f"{wait * 1000:.1f}" for wait in waits), f"{one.p_value:.2g}", one.verdict)
    return table


@contextmanager
def reading(path: Path) -> Iterator[dict[str, Any]]:
    """Read a run's JSON, and work with it; raise SettingError where it is not one."""
    try:
        yield json.loads(path.read_text())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SettingError(
            f"{path}: not the JSON of a load run ({error!r}): name a file below .deploytools/load"
        ) from None


def _waits(path: Path) -> dict[str, HdrHistogram]:
    with reading(path) as run:
        return {tier["name"]: HdrHistogram.decode(tier["wait"]["histogram"]) for tier in run["tiers"]}


def _values(histogram: HdrHistogram) -> list[int]:
    return [
        item.value_iterated_to
        for item in histogram.get_recorded_iterator()
        for _ in range(item.count_at_value_iterated_to)
    ]
