"""HDR histograms of times: three digits of precision from a microsecond to an hour, whatever the number of values."""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS, DIGITS = 1, 3600 * 1_000_000, 3


def histogram(seconds: Iterable[float]) -> HdrHistogram:
    """Return a histogram, in microseconds, of times in seconds. Longer ones count as an hour."""
    made = HdrHistogram(LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS, DIGITS)
    for value in seconds:
        made.record_value(min(HIGHEST_MICROSECONDS, max(LOWEST_MICROSECONDS, round(value * 1_000_000))))
    return made


def quantile_seconds(made: HdrHistogram, percent: float) -> float | None:
    """Return a percentile in seconds; None of an empty histogram."""
    return made.get_value_at_percentile(percent) / 1_000_000 if made.get_total_count() else None


def encode(made: HdrHistogram) -> str:
    """Return a histogram as text (HdrHistogram's own V2 format, base64)."""
    return str(made.encode().decode("ascii"))
