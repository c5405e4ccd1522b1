"""Run migrations on the database whose URL `app.services.database.migrate` passes."""

from alembic import context
from sqlalchemy import create_engine

from app.services.tables import Table

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
