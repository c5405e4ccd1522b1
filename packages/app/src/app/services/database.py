"""The database: SQLite in the state folder, or PostgreSQL."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from app.migrations import NEWEST
from app.services.errors import PermanentError, TransientError
from app.services.tables import Table
from app.settings import settings

# How long a writer of SQLite waits for another one. Longer than any transaction here.
LOCK_SECONDS = 30


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session; commit at the end, or not at all. A database that is away is worth another try."""
    try:
        with Session(engine()) as session, session.begin():
            yield session
    except (OperationalError, InterfaceError) as error:
        raise TransientError(f"database {engine().url!r}: {error.orig}") from error


def insert_once(session: Session, table: type[Table], **values: Any) -> bool:
    """Insert a row unless its key is taken; say whether it was inserted."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    done = session.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())
    return bool(done.rowcount)  # type: ignore[attr-defined]


@cache
def engine() -> Engine:
    """Return this process's connections. The embedded database is made and migrated when it is needed first."""
    url = settings().database_url.get_secret_value()
    made = create_engine(url, pool_pre_ping=True)
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _prepare_sqlite)
        _migrate_locked(Path(str(made.url.database)), url)
    return made


def upgrade() -> None:
    """Migrate the database that APP_DATABASE_URL names; raise PermanentError where that cannot be done."""
    url = settings().database_url.get_secret_value()
    try:
        migrate(url)
    except SQLAlchemyError as error:
        why = " ".join(str(getattr(error, "orig", None) or error).split())
        raise PermanentError(f"APP_DATABASE_URL: {why}") from error


def migrate(url: str) -> None:
    """Bring a database to the newest revision of `app.migrations`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "app:migrations")
    config.attributes["url"] = url
    command.upgrade(config, "head")


def _migrate_locked(path: Path, url: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:  # closing it unlocks
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_newest(path):
            migrate(url)


def _is_newest(path: Path) -> bool:
    # Alembic takes a second to import: more than most tasks.
    try:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]
    except sqlite3.OperationalError:
        return False


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo the last transactions, and breaks nothing
    connection.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")


# A child of a worker may not speak on its parent's connections.
os.register_at_fork(after_in_child=engine.cache_clear)
