"""The application factory."""

from celery import Celery

from app.core import warm_up  # noqa: F401 — importing registers its functions
from app.settings import project
from deploytools.worker import install


def create_celery_app() -> Celery:
    """Make the Celery application, configured by `app.celeryconfig` and its fleet."""
    app = Celery("app")
    app.config_from_object("app.celeryconfig")
    return install(app, project().fleet())
