"""The proof of the alerts, for `promtool test rules`.

Each fires on its own series, and none on those of a healthy fleet.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from deploytools.fleet import Fleet, Tier
from deploytools.render.container import METRICS_PORT
from deploytools.render.prometheus.alert import POLL_SECONDS, Alert
from deploytools.render.prometheus.recording import promise_bound
from deploytools.render.prometheus.scraping import ALERT_FILE, RECORDING_FILE
from deploytools.render.prometheus.series import label_set, of_beat, of_queue, of_worker, series
from deploytools.render.prometheus.windows import DAY, HOUR, MINUTE, duration

# Longer than the longest an alert looks back, a day.
HEALTHY_MINUTES = (DAY + 2 * HOUR) // MINUTE
# What a beat that leads says, and one that stands by.
BEAT = {
    "up": "1",
    "celery_beat_leader": "1",
    "celery_beat_idle_seconds": "1",
    "celery_broker_up": "1",
    "celery_broker_memory_bytes": "5e8",
    "celery_broker_memory_max_bytes": "1e9",
    "celery_broker_refusals_total": "2",
}
STANDBY = {"up": "1", "celery_beat_leader": "0", "celery_beat_idle_seconds": "1"}


def proof_file(fleet: Fleet, alerts: Iterable[Alert], *, order: list[str]) -> dict[str, Any]:
    """Return the test file. `order`: the groups of rules; without it promtool computes them in any."""
    return {
        "rule_files": [RECORDING_FILE, ALERT_FILE],
        "evaluation_interval": duration(POLL_SECONDS),
        "group_eval_order": order,
        "tests": [
            _test(
                "a healthy fleet",
                healthy_series(fleet),
                [_check('ALERTS{alertstate="firing"}', at) for at in (POLL_SECONDS, HOUR, DAY + HOUR)],
            ),
            *(_fires(alert) for alert in alerts),
        ],
    }


def healthy_series(fleet: Fleet) -> dict[str, str]:
    """Return what a fleet says of itself that keeps its promises, for a day and some hours."""
    steady = {of_beat(name): value for name, value in BEAT.items()}
    steady |= {of_beat(name, instance=f"standby:{METRICS_PORT}"): value for name, value in STANDBY.items()}
    for tier in fleet:
        steady |= _tier_series(tier)
    return {name: f"{value}x{HEALTHY_MINUTES}" for name, value in steady.items()}


def _tier_series(tier: Tier) -> dict[str, str]:
    """Return a tier's own, a minute: 600 tasks a minute, of which one in 200 is late and one in 100 fails."""
    return {
        of_worker("up", tier): "1",
        of_worker("celery_task_wait_seconds_bucket", tier, task="a", le=promise_bound(tier)): "0+597",
        of_worker("celery_task_wait_seconds_bucket", tier, task="a", le="+Inf"): "0+600",
        of_worker("celery_task_wait_seconds_count", tier, task="a"): "0+600",
        of_worker("celery_task_submissions_total", tier, task="a"): "0+600",
        of_worker("celery_task_completions_total", tier, task="a"): "0+594",
        of_worker("celery_task_failures_total", tier, task="a"): "0+6",
        of_worker("celery_task_publisher_submissions_total", tier, publisher="web"): "0+600",
        of_worker("celery_messages_rejected_total", tier, reason="invalid"): "1",
        of_worker("celery_worker_processes", tier, state="busy"): f"{tier.concurrency}",
        of_worker("celery_worker_processes", tier, state="idle"): "0",
        of_queue("celery_queue_depth", tier): "3",
        of_queue("celery_queue_oldest_seconds", tier): f"{tier.start_within_seconds / 2:g}",
        of_queue("celery_dead_letters", tier): "0",
    }


def _fires(alert: Alert) -> dict[str, Any]:
    labels = dict(sorted({"alertname": alert.name, **alert.labels, **alert.proof.labels}.items()))
    firing = series("ALERTS", alertname=alert.name, **alert.labels, alertstate="firing")
    expr = f"group by ({', '.join(labels)}) ({firing})"
    checks = [_check(expr, alert.proof.at_seconds, {"labels": label_set(labels), "value": 1})]
    if alert.proof.quiet_at_seconds is not None:
        checks.append(_check(expr, alert.proof.quiet_at_seconds))
    return _test(f"{alert.name} {alert.tier or ''}".strip(), alert.proof.series, checks)


def _check(expr: str, at_seconds: int, *expected: dict[str, Any]) -> dict[str, Any]:
    return {"expr": expr, "eval_time": duration(at_seconds), "exp_samples": list(expected)}


def _test(name: str, given: Mapping[str, str], checks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in given.items()],
        "promql_expr_test": checks,
    }
