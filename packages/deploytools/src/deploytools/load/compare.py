"""Two runs side by side: is one's wait really longer? A rank test on what was measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from deploytools.errors import SettingError

# Below this probability a difference is called real.
SIGNIFICANT = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One tier's wait in two runs. `p_value`: how likely ranks so far apart are if the runs did not differ."""

    tier: str
    a_p50_seconds: float
    b_p50_seconds: float
    a_p99_seconds: float
    b_p99_seconds: float
    p_value: float

    @property
    def verdict(self) -> str:
        """Say which run waited longer, or that one cannot tell."""
        if self.p_value >= SIGNIFICANT:
            return "no difference seen"
        return "B waits longer" if self.b_p50_seconds > self.a_p50_seconds else "A waits longer"


def compare_runs(a: Path, b: Path) -> list[Difference]:
    """Compare the waits of the tiers that both runs have (Mann-Whitney U, two-sided, from the saved histograms)."""
    from scipy.stats import mannwhitneyu

    first, second = (_waits(path) for path in (a, b))
    return [
        Difference(
            tier=tier,
            a_p50_seconds=first[tier].get_value_at_percentile(50) / 1e6,
            b_p50_seconds=second[tier].get_value_at_percentile(50) / 1e6,
            a_p99_seconds=first[tier].get_value_at_percentile(99) / 1e6,
            b_p99_seconds=second[tier].get_value_at_percentile(99) / 1e6,
            p_value=float(mannwhitneyu(_values(first[tier]), _values(second[tier])).pvalue),
        )
        for tier in first
        if tier in second and first[tier].get_total_count() and second[tier].get_total_count()
    ]


def load_run(path: Path) -> dict[str, Any]:
    """Read a run's JSON; raise SettingError where it is not one."""
    try:
        run: dict[str, Any] = json.loads(path.read_text())
        run["tiers"], run["profile"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"{path}: not the JSON of a load run ({error!r}): name a file below .deploytools/load"
        ) from None
    return run


def _waits(path: Path) -> dict[str, HdrHistogram]:
    return {tier["name"]: HdrHistogram.decode(tier["wait"]["histogram"]) for tier in load_run(path)["tiers"]}


def _values(histogram: HdrHistogram) -> list[int]:
    return [
        item.value_iterated_to
        for item in histogram.get_recorded_iterator()
        for _ in range(item.count_at_value_iterated_to)
    ]
