"""Alerts on what becomes of tasks: they fail, or nobody can run them."""

from collections.abc import Iterator

from deploytools.fleet import Fleet
from deploytools.render.prometheus.alert import Alert, Proof, Severity
from deploytools.render.prometheus.series import growth, of_queue, of_worker
from deploytools.render.prometheus.windows import MINUTE, Windows

# As in celery-exporter's mixin: 5 % in ten minutes; and not one alone, of a task that seldom runs.
MAX_FAILED = 0.05
MIN_FAILURES = 5


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts on failures and dead letters."""
    example, window = next(iter(fleet)), windows.of(10 * MINUTE)
    failed, started = (
        f"sum by (tier, task) {growth(name, window)}"
        for name in ("celery_task_failures_total", "celery_task_wait_seconds_count")
    )
    yield Alert(
        name="CeleryTasksFail",
        severity=Severity.WARNING,
        expr=f"{failed} / {started} > {MAX_FAILED:g} and {failed} >= {MIN_FAILURES}",
        summary="{{ $labels.task }} fails",
        description="{{ $value | humanizePercentage }} of those started in ten minutes failed for good.",
        runbook="tasks-fail",
        proof=Proof(
            series={
                of_worker("celery_task_failures_total", example, task="a"): "0+6x60",
                of_worker("celery_task_wait_seconds_count", example, task="a"): "0+60x60",
            },
            labels={"tier": example.name, "task": "a"},
        ),
    )
    yield Alert(
        name="CeleryDeadLetters",
        severity=Severity.WARNING,
        expr="max by (tier) (celery_dead_letters) > 0",
        summary="Tier {{ $labels.tier }} has dead letters",
        description="{{ $value }} messages wait for somebody to replay or purge them.",
        runbook="tasks-become-dead-letters",
        proof=Proof(series={of_queue("celery_dead_letters", example): "0x10 2x60"}, labels={"tier": example.name}),
    )
