"""The database's history, for Alembic."""

# The revision that `app.services.tables` describes.
NEWEST = "0001"
