"""Alerts on what nobody expects: tasks and publishers that are new, rates that are not usual, messages refused.

They look back for days, so they are computed every five minutes only.
"""

from collections.abc import Iterator

from deploytools.fleet import Fleet, Tier
from deploytools.render.prometheus.alert import Alert, Proof, Severity
from deploytools.render.prometheus.recording import rate_record
from deploytools.render.prometheus.scraping import JOB
from deploytools.render.prometheus.series import growth, of_beat, of_worker
from deploytools.render.prometheus.windows import DAY, HOUR, MINUTE, Windows

EVERY_SECONDS = 5 * MINUTE
# One such message is a mistake; more of them in ten minutes are a publisher that sends them.
MAX_REJECTED = 5
# So many times as many, or as few, as at this hour yesterday and a week ago. Twice is an ordinary Monday.
UNUSUAL = 3
# An hour with fewer is not compared: by chance alone 100 become 70 or 130 (three standard deviations).
MIN_TASKS_AN_HOUR = 100


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts on what is suspicious."""
    example = next(iter(fleet))
    yield _rejected(example, windows)
    yield _refused(windows)
    yield from _new(example, windows)
    yield from _unusual(example, windows)


def _rejected(example: Tier, windows: Windows) -> Alert:
    counter, window = "celery_messages_rejected_total", windows.of(10 * MINUTE)
    return Alert(
        name="CeleryMessagesRejected",
        severity=Severity.WARNING,
        expr=f"sum by (reason) {growth(counter, window)} > {MAX_REJECTED}",
        summary="Messages are rejected: {{ $labels.reason }}",
        description="{{ $value | humanize }} in ten minutes. They are dead letters now.",
        runbook="something-unknown-is-sent",
        proof=Proof(
            series={
                of_worker("up", example): "1x60",
                of_worker(counter, example, reason="unknown task"): "_x25 8x60",
            },
            labels={"reason": "unknown task"},
        ),
    )


def _refused(windows: Windows) -> Alert:
    return Alert(
        name="CeleryBrokerRefuses",
        severity=Severity.WARNING,
        expr=f"increase(celery_broker_refusals_total[{windows.of(10 * MINUTE)}]) > 0",
        summary="The broker refused logins or commands",
        description="{{ $value | humanize }} in ten minutes: somebody has no or the wrong password, or too few rights.",
        runbook="broker-refuses-logins",
        proof=Proof(series={of_beat("celery_broker_refusals_total"): "2x25 5x60"}),
    )


def _new(example: Tier, windows: Windows) -> Iterator[Alert]:
    for name, label, counter in (
        ("CeleryTaskNew", "task", "celery_task_submissions_total"),
        ("CeleryPublisherNew", "publisher", "celery_task_publisher_submissions_total"),
    ):
        before = f"{counter}[{windows.of(7 * DAY)}] offset {windows.of(HOUR)}"
        watched = f'group(up{{job="{JOB}"}} offset {windows.of(DAY)})'
        yield Alert(
            name=name,
            severity=Severity.INFO,
            expr=(
                f"sum by ({label}) ({counter}) unless on ({label}) group by ({label}) (last_over_time({before})) "
                f"and on () {watched}"
            ),
            summary=f"{{{{ $labels.{label} }}}} was not seen in a week",
            description=f"A {label} that is new, with {{{{ $value }}}} tasks: expected after a deployment only.",
            runbook="something-unknown-is-sent",
            proof=Proof(
                series={
                    of_worker("up", example): f"1x{DAY // MINUTE + 120}",
                    of_worker(counter, example, **{label: "old"}): f"0+1x{DAY // MINUTE + 120}",
                    of_worker(counter, example, **{label: "new"}): f"_x{DAY // MINUTE + 30} 1x120",
                },
                at_seconds=DAY + HOUR,
                labels={label: "new"},
            ),
        )


def _unusual(example: Tier, windows: Windows) -> Iterator[Alert]:
    now = rate_record("submissions", "1h")
    yesterday = f"{now} offset {windows.of(DAY)}"
    week = f"({now} offset {windows.of(7 * DAY)} or {yesterday})"
    least = f"{MIN_TASKS_AN_HOUR} / {HOUR}"
    many = f"{now} > {UNUSUAL} * {yesterday} and {now} > {UNUSUAL} * {week} and {now} > {least}"
    few = f"{now} < {yesterday} / {UNUSUAL} and {now} < {week} / {UNUSUAL} and {yesterday} > {least}"
    for how, expr, values in (
        ("Many", many, f"0+10x{DAY // MINUTE} 14400+40x120"),
        ("Few", few, f"0+10x{DAY // MINUTE} 14400+1x120"),
    ):
        yield Alert(
            name=f"CeleryTasksUnusually{how}",
            severity=Severity.WARNING,
            expr=expr,
            hold=windows.of(15 * MINUTE),
            summary=f"Unusually {how.lower()} tasks of tier {{{{ $labels.tier }}}}",
            description=f"{{{{ $value | printf `%.3g` }}}} a second, {UNUSUAL} times off this hour of other days.",
            runbook="rate-is-unusual",
            proof=Proof(
                series={of_worker("celery_task_submissions_total", example, task="a"): values},
                at_seconds=DAY + 2 * HOUR,
                labels={"tier": example.name},
            ),
        )
