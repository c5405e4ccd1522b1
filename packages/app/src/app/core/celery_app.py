"""The application factory."""

from celery import Celery

from app.core import libraries
from app.settings import project
from deploytools.worker import install


def create_celery_app() -> Celery:
    """Make the Celery application, configured by `app.celeryconfig` and its fleet."""
    app, fleet = Celery("app"), project().fleet()
    app.config_from_object("app.celeryconfig")
    libraries.connect(fleet)
    return install(app, fleet)
