"""The tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORDS = "to_tsvector('english', title || ' ' || text)"
# SQLite's full text index keeps no copy of the texts: triggers tell it what changes.
SEARCHABLE = (
    "CREATE VIRTUAL TABLE documents_text USING fts5(title, text, content='documents', tokenize='porter')",
    """CREATE TRIGGER documents_inserted AFTER INSERT ON documents BEGIN
         INSERT INTO documents_text(rowid, title, text) VALUES (new.rowid, new.title, new.text);
       END""",
    """CREATE TRIGGER documents_deleted AFTER DELETE ON documents BEGIN
         INSERT INTO documents_text(documents_text, rowid, title, text)
         VALUES ('delete', old.rowid, old.title, old.text);
       END""",
)


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_conversations_created_at"), "conversations", ["created_at"], unique=False)
    op.create_table(
        "documents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "embeddings",
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "model"),
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "pictures",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "published",
        sa.Column("upload", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upload"),
    )
    op.create_index(op.f("ix_published_batch"), "published", ["batch"], unique=False)
    op.create_table(
        "ratings",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rating", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "model"),
    )
    op.create_index(op.f("ix_ratings_at"), "ratings", ["at"], unique=False)
    op.create_table(
        "searches",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "staged",
        sa.Column("upload", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("upload"),
    )
    op.create_index(op.f("ix_staged_batch"), "staged", ["batch"], unique=False)
    op.create_table(
        "traces",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("call", sa.JSON(), nullable=False),
        sa.Column("batch", sa.String(), nullable=True),
        sa.Column("shipped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_traces_batch"), "traces", ["batch"], unique=False)
    op.create_index(op.f("ix_traces_at"), "traces", ["at"], unique=False)
    op.create_index(op.f("ix_traces_shipped_at"), "traces", ["shipped_at"], unique=False)
    op.create_table(
        "transcripts",
        sa.Column("audio", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("audio", "model"),
    )
    op.create_table(
        "votes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_a", sa.String(), nullable=False),
        sa.Column("model_b", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_votes_at"), "votes", ["at"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversation_id", "position"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in SEARCHABLE:
            op.execute(statement)
    else:
        op.execute(f"CREATE INDEX documents_text ON documents USING gin ({WORDS})")


def downgrade() -> None:
    """Go back."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("documents_text")
    op.drop_table("messages")
    op.drop_index(op.f("ix_votes_at"), table_name="votes")
    op.drop_table("votes")
    op.drop_table("transcripts")
    op.drop_index(op.f("ix_traces_shipped_at"), table_name="traces")
    op.drop_index(op.f("ix_traces_batch"), table_name="traces")
    op.drop_index(op.f("ix_traces_at"), table_name="traces")
    op.drop_table("traces")
    op.drop_index(op.f("ix_staged_batch"), table_name="staged")
    op.drop_table("staged")
    op.drop_table("searches")
    op.drop_index(op.f("ix_ratings_at"), table_name="ratings")
    op.drop_table("ratings")
    op.drop_index(op.f("ix_published_batch"), table_name="published")
    op.drop_table("published")
    op.drop_table("pictures")
    op.drop_table("mails")
    op.drop_table("embeddings")
    op.drop_table("documents")
    op.drop_index(op.f("ix_conversations_created_at"), table_name="conversations")
    op.drop_table("conversations")
