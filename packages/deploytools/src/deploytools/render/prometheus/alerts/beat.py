"""Alerts on beat: none leads, two do, or the one that leads hangs."""

from collections.abc import Iterator

from deploytools.fleet import Fleet
from deploytools.render.container import METRICS_PORT
from deploytools.render.prometheus.alert import Alert, Proof, Severity
from deploytools.render.prometheus.series import of_beat
from deploytools.render.prometheus.windows import MINUTE, Windows

# beat.scheduler: a leader that has not looked for so long is replaced.
LEASE_SECONDS = 10
# beat.metrics: a beat that has not looked for so long is not live.
HUNG_AFTER_SECONDS = 60


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts on beat."""
    del fleet
    yield Alert(
        name="CeleryBeatMissing",
        severity=Severity.CRITICAL,
        expr="absent(celery_beat_leader == 1)",
        hold=windows.of(2 * MINUTE),  # one that is deployed anew is away for less
        summary="No beat leads",
        description="Periodic tasks are not sent; {{ $value }} beat short at least.",
        runbook="beat-is-silent",
        proof=Proof(series={of_beat("celery_beat_leader"): "0x60"}),
    )
    yield Alert(
        name="CeleryBeatDoubled",
        severity=Severity.CRITICAL,
        expr=f"count(celery_beat_leader == 1 and on (instance) celery_beat_idle_seconds < {LEASE_SECONDS}) > 1",
        hold=windows.of(MINUTE),
        summary="More than one beat sends",
        description="{{ $value }} beats lead: each periodic task runs as often.",
        runbook="beat-sends-twice",
        proof=Proof(
            series={
                of_beat(name, instance=instance): value
                for instance in (f"one:{METRICS_PORT}", f"two:{METRICS_PORT}")
                for name, value in (("celery_beat_leader", "1x60"), ("celery_beat_idle_seconds", "1x60"))
            }
        ),
    )
    yield Alert(
        name="CeleryBeatHangs",
        severity=Severity.CRITICAL,
        expr=f"celery_beat_idle_seconds > {HUNG_AFTER_SECONDS}",
        summary="Beat at {{ $labels.instance }} does not look at its schedule",
        description="It looked {{ $value | humanizeDuration }} ago, and should each few seconds.",
        runbook="beat-is-silent",
        proof=Proof(series={of_beat("celery_beat_idle_seconds"): "1x10 0+60x60"}),
    )
