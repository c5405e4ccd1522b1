"""Every Celery setting this application chooses, flat; each one that is not Celery's default says why.

Queues, routes, delivery guarantees and transport timeouts are the fleet's: they follow from `fleet.toml` and are added
by `deploytools.worker.install`.
"""

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

beat_schedule = {
    "expire-staged-uploads": {
        "task": "app.tasks.cleanup.expire",
        "schedule": settings().cleanup_every_seconds,
        # A run that waited for longer than the next one is due is not worth running.
        "options": {"expires": settings().cleanup_every_seconds},
    },
}
