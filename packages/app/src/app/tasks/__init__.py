"""The tasks, a module a kind of work, and the application that runs them."""

from app.core.celery_app import create_celery_app
from app.tasks import cleanup, images, storage

celery_app = create_celery_app()

__all__ = ["celery_app", "cleanup", "images", "storage"]
