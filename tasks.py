"""The commands of this repository: the toolkit's, built from the fleet that pyproject.toml names, and the app's own."""

from typing import Any

from invoke.collection import Collection

from deploytools.errors import SettingError
from deploytools.invoke import namespace
from deploytools.invoke.command import command


@command()
def upgrade(_: Any) -> None:
    """Bring the database that APP_DATABASE_URL names to the newest revision; the embedded one does this by itself."""
    from app.services import database
    from app.services.errors import PermanentError

    try:
        database.upgrade()
    except PermanentError as error:
        raise SettingError(str(error)) from None


ns = namespace()
ns.add_collection(Collection("db", upgrade))
