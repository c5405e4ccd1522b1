"""The result backend."""

from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule

# Celery's default. Publishing subscribes to the result first, and waits this long for a Redis that hangs.
PATIENT_SECONDS = 120.0


def backend_of(app: AppFacts) -> str:
    """Return the URL of the backend; empty where there is none."""
    return str(app.conf.get("result_backend") or "").replace("disabled://", "")


@rule(
    Severity.NOTE,
    consequence="Connections, and a key of Redis to fail on, for results that nobody keeps.",
    fix="Leave `result_backend` out.",
    source="celery/app/trace.py",
)
def backend_unused(app: AppFacts) -> Occurrences:
    """A result backend is set, but all tasks ignore their results."""
    if backend_of(app) and app.own_tasks and all(task.ignore_result for task in app.own_tasks.values()):
        yield app.name, f"{len(app.own_tasks)} tasks with ignore_result"


@rule(
    Severity.ERROR,
    consequence="Each task leaves a key for ever: Redis fills up.",
    fix="`result_expires = 3600`, or as long as somebody may still ask.",
    source="celery/app/defaults.py",
)
def results_never_expire(app: AppFacts) -> Occurrences:
    """Results are kept for ever."""
    if backend_of(app) and not app.conf["result_expires"]:
        yield app.name, f"result_expires = {app.conf['result_expires']}"


@rule(
    Severity.WARNING,
    consequence="While Redis is away `apply_async` blocks: 20 s if it refuses, over a minute if it hangs, "
    "whatever the broker's timeout.",
    fix="`redis_socket_timeout = 5` and `result_backend_transport_options = {'retry_policy': {'max_retries': 1}}`.",
    source="celery/app/defaults.py:202; run",
)
def results_block_publishers(app: AppFacts) -> Occurrences:
    """Publishing waits for the result backend."""
    patient = float(app.conf.get("redis_socket_timeout") or PATIENT_SECONDS) >= PATIENT_SECONDS
    waits = not all(task.ignore_result for task in app.own_tasks.values())
    if backend_of(app).startswith("redis") and waits and patient:
        yield app.name, f"redis_socket_timeout = {app.conf.get('redis_socket_timeout')}"
