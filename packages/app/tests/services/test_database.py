"""The tables, and the migrations that make them."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.migrations import NEWEST
from app.services import database
from app.services.database import engine, insert_once, migrate, transaction
from app.services.tables import Document, Mail, Table


def test_migrations_make_the_tables_that_are_declared() -> None:
    with engine().connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Table.metadata)

    # The full text index's own tables are declared nowhere.
    assert [
        change for change in found if not (change[0] == "remove_table" and "documents_text" in change[1].name)
    ] == []


def test_the_newest_revision_is_the_one_that_is_named() -> None:
    assert ScriptDirectory(str(Path(database.__file__).parents[1] / "migrations")).get_current_head() == NEWEST


def test_a_migrated_database_is_not_migrated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine()
    engine().dispose()
    engine.cache_clear()
    monkeypatch.setattr(database, "migrate", lambda _: pytest.fail("migrated again"))

    with transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM documents")) == 0


def test_going_back_removes_everything(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    migrate(url)
    config = Config()
    config.set_main_option("script_location", "app:migrations")
    config.attributes["url"] = url

    command.downgrade(config, "base")


def test_a_row_is_inserted_once() -> None:
    with transaction() as session:
        assert [insert_once(session, Mail, id="m", recipient="a@example.org") for _ in range(2)] == [True, False]


def test_an_error_undoes_the_transaction() -> None:
    def add_and_fail() -> None:
        with transaction() as session:
            session.add(Document(id="d", title="t", text="t"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()

    with transaction() as session:
        assert session.get(Document, "d") is None
