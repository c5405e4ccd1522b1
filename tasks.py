"""The commands of this repository: the toolkit's, built from the fleet that pyproject.toml names, and the app's own."""

from typing import Any

from invoke.collection import Collection
from invoke.tasks import task

from deploytools.invoke import namespace


@task
def upgrade(_: Any) -> None:
    """Bring the database that APP_DATABASE_URL names to the newest revision; the embedded one does this by itself."""
    from app.services.database import migrate
    from app.settings import settings

    migrate(settings().database_url.get_secret_value())


ns = namespace()
ns.add_collection(Collection("db", upgrade))
