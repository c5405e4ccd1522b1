"""Alerts on the broker: it does not answer, or is about to refuse what is published."""

from collections.abc import Iterator

from deploytools.fleet import Fleet
from deploytools.render.prometheus.alert import Alert, Proof, Severity
from deploytools.render.prometheus.series import of_beat
from deploytools.render.prometheus.windows import MINUTE, Windows

# At its limit Redis refuses to write: publishers fail, and workers cannot acknowledge. A fifth leaves time to act.
MAX_MEMORY = 0.8


def alerts(fleet: Fleet, windows: Windows) -> Iterator[Alert]:
    """Return the alerts on the broker."""
    del fleet
    yield Alert(
        name="CeleryBrokerDown",
        severity=Severity.CRITICAL,
        expr="celery_broker_up == 0",
        hold=windows.of(MINUTE),
        summary="The broker does not answer",
        description="celery_broker_up is {{ $value }}: nothing is published, taken or acknowledged.",
        runbook="broker-is-down",
        proof=Proof(series={of_beat("celery_broker_up"): "1x10 0x60"}),
    )
    yield Alert(
        name="CeleryBrokerFull",
        severity=Severity.WARNING,
        expr=f"celery_broker_memory_bytes / (celery_broker_memory_max_bytes > 0) > {MAX_MEMORY:g}",
        hold=windows.of(5 * MINUTE),
        summary="The broker is almost full",
        description="{{ $value | humanizePercentage }} of the memory it may use is in use; at 100 % it refuses tasks.",
        runbook="broker-is-full",
        proof=Proof(
            series={
                of_beat("celery_broker_memory_bytes"): "9e8x60",
                of_beat("celery_broker_memory_max_bytes"): "1e9x60",
            }
        ),
    )
