"""Alerts on workers: there are none, they do not take what waits, or they hang."""

from collections.abc import Iterator

from deploytools.fleet import Fleet, Tier
from deploytools.render.prometheus.alert import POLL_SECONDS, Alert, Proof, Severity
from deploytools.render.prometheus.scraping import JOB
from deploytools.render.prometheus.series import of_queue, of_worker, series
from deploytools.render.prometheus.windows import MINUTE, SCRAPE_SECONDS, Windows, duration


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts on each tier's workers, and on all."""
    for tier in fleet:
        yield _nobody(tier, windows)
        yield _stuck(tier)
    yield _idle(next(iter(fleet)), windows)
    yield _silent(next(iter(fleet)), windows)


def _nobody(tier: Tier, windows: Windows) -> Alert:
    # A worker of several tiers (`worker.dev`) names them all, with commas.
    answers = f'up{{job="{JOB}",tier=~"(.*,)?{tier.name}(,.*)?"}} == 1'
    return Alert(
        name="CeleryNobodyConsumes",
        tier=tier.name,
        severity=Severity.CRITICAL,
        expr=f"absent({answers})",
        hold=windows.of(2 * MINUTE),
        summary=f"No worker of tier {tier.name} runs",
        description=f"Tasks of {tier.queue} wait until there is one; {{{{ $value }}}} worker short at least.",
        runbook="nobody-consumes",
        proof=Proof(series={of_worker("up", tier): "1x10 0x60"}),
    )


def _stuck(tier: Tier) -> Alert:
    # No task outlives the hard limit; ending one and the next look of Prometheus come on top.
    window_seconds = tier.grace_seconds + 2 * SCRAPE_SECONDS
    window, minutes = duration(window_seconds), window_seconds // MINUTE
    busy = series("celery_worker_processes", tier=tier.name, state="busy")
    starts = "celery_task_wait_seconds_count"
    return Alert(
        name="CeleryWorkerStuck",
        tier=tier.name,
        severity=Severity.CRITICAL,
        expr=(
            f"min_over_time({busy}[{window}]) > 0 and on (instance) "
            f"(sum by (instance) ({starts}) == sum by (instance) ({starts} offset {window}))"
        ),
        summary="Worker {{ $labels.worker }} is stuck",
        description=(
            f"{{{{ $value }}}} of its processes are busy and no task was started for {window}, "
            f"although none may take longer than {tier.time_limit_seconds} s."
        ),
        runbook="worker-is-stuck",
        proof=Proof(
            series={
                of_worker("celery_worker_processes", tier, state="busy"): f"2x{minutes + 60}",
                of_worker(starts, tier, task="a"): f"0+1x14 14x{minutes + 46}",
            },
            at_seconds=(window_seconds // POLL_SECONDS + 2) * POLL_SECONDS,
            quiet_at_seconds=POLL_SECONDS,  # its last task runs for a minute
        ),
    )


def _idle(example: Tier, windows: Windows) -> Alert:
    window = windows.of(2 * MINUTE)
    return Alert(
        name="CeleryTasksNotTaken",
        severity=Severity.CRITICAL,
        expr=(
            f"min by (tier) (min_over_time(celery_queue_depth[{window}])) > 0 "
            f"and on (tier) sum by (tier) (min_over_time(celery_worker_processes{{state='idle'}}[{window}])) > 0 "
            f"unless on (tier) sum by (tier) (rate(celery_task_wait_seconds_count[{window}])) > 0"
        ),
        hold=window,
        summary="Tasks of tier {{ $labels.tier }} wait, and its idle workers take none",
        description="{{ $value }} tasks wait at least; processes are free, and nothing was started.",
        runbook="nobody-consumes",
        proof=Proof(
            series={
                of_queue("celery_queue_depth", example): "7x60",
                of_worker("celery_worker_processes", example, state="idle"): "2x60",
            },
            labels={"tier": example.name},
        ),
    )


def _silent(example: Tier, windows: Windows) -> Alert:
    return Alert(
        name="CeleryProcessSilent",
        severity=Severity.WARNING,
        expr=f'up{{job="{JOB}"}} == 0',
        hold=windows.of(2 * MINUTE),
        summary="{{ $labels.worker }} does not answer",
        description="up is {{ $value }}: the worker or beat at {{ $labels.instance }} is gone, or hangs.",
        runbook="worker-is-stuck",
        proof=Proof(series={of_worker("up", example): "0x60"}, labels={"tier": example.name}),
    )
