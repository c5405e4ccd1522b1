"""Every Celery setting this application chooses, flat; each one that is not Celery's default says why.

Queues, routes, delivery guarantees and transport timeouts are the fleet's: they follow from `fleet.toml` and are added
by `deploytools.worker.install`.
"""

from celery.schedules import crontab

from app.settings import project, settings
from deploytools.broker.choice import broker_address
from deploytools.settings import current_settings

broker_url = broker_address(current_settings(), project()).url

# JSON only: pickle runs whatever a message says.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]

# Nobody reads results: tasks write what they make into the stores. Two commands a task saved.
task_ignore_result = True

# Times are UTC everywhere.
timezone = "UTC"
enable_utc = True

# The log belongs to the process manager, one record a line.
worker_hijack_root_logger = True
worker_redirect_stdouts_level = "INFO"


DAY_SECONDS = 24 * 3600


def _every(task: str, seconds: float) -> dict[str, object]:
    # A run that waited for longer than until the next one is due is not worth running.
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


beat_schedule = {
    "expire-what-outlived-its-use": _every("app.tasks.cleanup.expire", settings().cleanup_every_seconds),
    "ship-traces": _every("app.tasks.langfuse.ship", settings().ship_every_seconds),
    "compute-the-leaderboard": _every("app.tasks.leaderboard.compute", settings().rate_every_seconds),
    "export-yesterday": {
        "task": "app.tasks.dataset.export",
        "schedule": crontab(hour="0", minute="10"),
        "options": {"expires": DAY_SECONDS},
    },
}
