"""Alerts on the promise itself: tasks start too late, or will."""

from collections.abc import Iterator
from dataclasses import dataclass

from deploytools.fleet import Fleet, Tier
from deploytools.render.prometheus.alert import Alert, Proof, Severity
from deploytools.render.prometheus.recording import kept_record, promise_bound, rate_record
from deploytools.render.prometheus.series import of_queue, of_worker, series
from deploytools.render.prometheus.windows import HOUR, MINUTE, SPANS, Windows

# Of a tier's tasks, so many may start too late (fleet.Tier: the promise is for 99 %).
BUDGET = 0.01
# Where few tasks run, one late task of seven is a burnt budget and no reason to wake somebody.
MIN_LATE = 5
# The task that is next waits for this many promises: everything behind it is late as well.
LATE_PROMISES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Burn:
    """How fast a budget burns: `factor` times as fast as it may, in a long window, and in a short one, so still."""

    name: str
    long: str
    short: str
    factor: float
    severity: Severity


# The Site Reliability Workbook, chapter 5, table 5-8: 2 % of a month's budget in an hour, 5 % in six.
BURNS = (
    Burn(name="Fast", long="1h", short="5m", factor=14.4, severity=Severity.CRITICAL),
    Burn(name="Slowly", long="6h", short="30m", factor=6, severity=Severity.WARNING),
)


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts of each tier's promise."""
    for tier in fleet:
        yield from (_burn(tier, burn, windows) for burn in BURNS)
        yield _late(tier, windows)
        yield _growing(tier, windows)


def _burn(tier: Tier, burn: Burn, windows: Windows) -> Alert:
    least = f"{1 - burn.factor * BUDGET:.3f}"
    long, short = (series(kept_record(span), tier=tier.name) for span in (burn.long, burn.short))
    pace = series(rate_record("starts", burn.long), tier=tier.name)
    late = f"(1 - {long}) * {pace} * {windows.seconds(SPANS[burn.long])}"
    return Alert(
        name=f"CeleryPromiseBroken{burn.name}",
        tier=tier.name,
        severity=burn.severity,
        expr=f"{long} < {least} and {short} < {least} and {late} >= {MIN_LATE}",
        summary=f"Tasks of tier {tier.name} start too late",
        description=(
            f"Only {{{{ $value | humanizePercentage }}}} of the tasks of the last {burn.long} started within the "
            f"{tier.start_within_seconds:g} s that tier {tier.name} promises for 99 %: "
            f"{burn.factor:g} times as many were late as may be, or more."
        ),
        runbook="tasks-wait-too-long",
        proof=Proof(
            series={
                of_worker("celery_task_wait_seconds_bucket", tier, le=promise_bound(tier)): "0+30x60",
                of_worker("celery_task_wait_seconds_count", tier): "0+60x60",
            }
        ),
    )


def _late(tier: Tier, windows: Windows) -> Alert:
    limit = LATE_PROMISES * tier.start_within_seconds
    return Alert(
        name="CeleryOldestTaskLate",
        tier=tier.name,
        severity=Severity.CRITICAL,
        expr=f"{series('celery_queue_oldest_seconds', tier=tier.name)} > {limit:g}",
        hold=windows.of(MINUTE),
        summary=f"The oldest task of tier {tier.name} is late",
        description=(
            f"The task that is next in {tier.queue} has waited for {{{{ $value | humanizeDuration }}}}; "
            f"{tier.start_within_seconds:g} s are promised."
        ),
        runbook="tasks-wait-too-long",
        proof=Proof(series={of_queue("celery_queue_oldest_seconds", tier): f"{limit + 1:g}+60x60"}),
    )


def _growing(tier: Tier, windows: Windows) -> Alert:
    depth = series("celery_queue_depth", tier=tier.name)
    pace = series(rate_record("starts", "5m"), tier=tier.name)
    return Alert(
        name="CeleryBacklogGrows",
        tier=tier.name,
        severity=Severity.WARNING,
        expr=(
            f"max by (tier) ({depth}) / on (tier) {pace} > {tier.start_within_seconds:g} "
            f"and on (tier) max by (tier) (deriv({depth}[{windows.of(15 * MINUTE)}])) > 0"
        ),
        hold=windows.of(5 * MINUTE),
        summary=f"Tasks of tier {tier.name} arrive faster than they start",
        description=(
            f"At its pace of the last 5 minutes the backlog of {tier.queue} takes {{{{ $value | humanizeDuration }}}} "
            f"to start, and grows; {tier.start_within_seconds:g} s are promised."
        ),
        runbook="tasks-wait-too-long",
        proof=Proof(
            series={
                of_queue("celery_queue_depth", tier): f"0+{60 * tier.start_within_seconds:g}x60",
                of_worker("celery_task_wait_seconds_count", tier): "0+60x60",
            },
            at_seconds=HOUR,
        ),
    )
