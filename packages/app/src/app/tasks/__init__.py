"""The tasks, a module a kind of work, and the application that runs them."""

from app.core.celery_app import create_celery_app
from app.tasks import (
    asr,
    chat,
    cleanup,
    dataset,
    email,
    embeddings,
    images,
    langfuse,
    leaderboard,
    promotion,
    storage,
    web_search,
)

celery_app = create_celery_app()

__all__ = [
    "asr",
    "celery_app",
    "chat",
    "cleanup",
    "dataset",
    "email",
    "embeddings",
    "images",
    "langfuse",
    "leaderboard",
    "promotion",
    "storage",
    "web_search",
]
