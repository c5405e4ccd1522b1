"""What each pool process prepares before its first task. Libraries are preloaded: see `preload` in fleet.toml.

Each function costs a process some ten milliseconds; without them its first task would pay, and the queue behind it.
"""

from sqlalchemy import text
from sqlalchemy.orm import configure_mappers

from app.services import language_model, limits
from app.services.database import transaction
from app.services.exports import exports
from app.services.objects import objects
from deploytools.worker import warm_up


@warm_up
def connect_database() -> None:
    """Open a connection; a process without a database takes no tasks."""
    configure_mappers()
    with transaction() as session:
        session.execute(text("SELECT 1"))


@warm_up
def open_stores() -> None:
    """Find the file systems of objects and exports."""
    objects()
    exports()


@warm_up(tiers=["high", "medium"])
def make_model_client() -> None:
    """Make the client of the model API, and what counts its calls. Neither is asked anything yet."""
    language_model.client()
    limits.storage()
