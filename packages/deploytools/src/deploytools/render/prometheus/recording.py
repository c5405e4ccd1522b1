"""What is computed beforehand, by tier: how many tasks the promise was kept to, waits, and rates."""

from typing import Any

from deploytools.fleet import Fleet, Tier
from deploytools.render.prometheus.series import series
from deploytools.render.prometheus.windows import SPANS, Windows

# Rate's name → the counter it is made of.
RATES = {
    "submissions": "celery_task_submissions_total",
    "starts": "celery_task_wait_seconds_count",
    "completions": "celery_task_completions_total",
    "failures": "celery_task_failures_total",
    "retries": "celery_task_retries_total",
}
QUANTILES = {"p50": 0.5, "p99": 0.99}
# What a tier promises, in seconds: for dashboards, which cannot read the fleet file.
PROMISE_RECORD = "tier:celery_promise:seconds"


def recording_rules(fleet: Fleet, windows: Windows) -> list[dict[str, Any]]:
    """Return the rules of all windows."""
    rules = [
        {**_rule(PROMISE_RECORD, f"vector({promise_bound(tier)})"), "labels": {"tier": tier.name}} for tier in fleet
    ]
    for span, seconds in SPANS.items():
        window = windows.of(seconds)
        rules += [_kept(tier, span, window) for tier in fleet]
        rules += [
            _rule(
                wait_record(name, span),
                f"histogram_quantile({share}, sum by (tier, le) (rate(celery_task_wait_seconds_bucket[{window}])))",
            )
            for name, share in QUANTILES.items()
        ]
        rules += [
            _rule(rate_record(name, span), f"sum by (tier) (rate({counter}[{window}]))")
            for name, counter in RATES.items()
        ]
    return rules


def kept_record(span: str) -> str:
    """Return the name of a tier's share of tasks that started as soon as promised."""
    return f"tier:celery_task_wait_kept:ratio_rate{span}"


def wait_record(quantile: str, span: str) -> str:
    """Return the name of a quantile of a tier's waits, in seconds."""
    return f"tier:celery_task_wait_seconds:{quantile}_rate{span}"


def rate_record(name: str, span: str) -> str:
    """Return the name of a tier's rate of tasks a second."""
    return f"tier:celery_task_{name}:rate{span}"


def promise_bound(tier: Tier) -> str:
    """Return the promise as the histogram names its bucket: `metrics.counts` adds one for each promise."""
    return str(float(tier.start_within_seconds))


def _kept(tier: Tier, span: str, window: str) -> dict[str, Any]:
    in_time = series("celery_task_wait_seconds_bucket", tier=tier.name, le=promise_bound(tier))
    all_ = series("celery_task_wait_seconds_count", tier=tier.name)
    expr = f"sum(rate({in_time}[{window}])) / sum(rate({all_}[{window}]))"
    return {**_rule(kept_record(span), expr), "labels": {"tier": tier.name}}


def _rule(record: str, expr: str) -> dict[str, Any]:
    return {"record": record, "expr": expr}
