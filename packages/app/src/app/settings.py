"""The environment of the application, read once. `APP_` variables; the defaults need no account and no network."""

from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploytools.project import Project
from deploytools.settings import current_project


def project() -> Project:
    """Return this project: the application carries its fleet, so it works from any folder."""
    return current_project(packaged_fleet=Path(__file__).with_name("fleet.toml"))


def _below_state(scheme: str, name: str) -> str:
    """Return a URL below the project's state folder, which may be another one in the next run."""
    path = project().state / name
    return f"{scheme}:///{path}" if scheme == "sqlite" else path.as_uri()


class Settings(BaseSettings):
    """What tasks talk to, each by URL, and how long the application keeps things."""

    model_config = SettingsConfigDict(env_prefix="APP_", frozen=True)

    database_url: SecretStr = Field(
        default_factory=lambda: SecretStr(_below_state("sqlite", "app.sqlite")),
        description="sqlite:///path or postgresql+psycopg://user:password@host/name",
    )
    objects_url: str = Field(
        default_factory=lambda: _below_state("file", "objects"),
        description="root of all objects, any URL that fsspec knows: file://…, s3://bucket/prefix",
    )
    exports_url: str = Field(
        default_factory=lambda: _below_state("file", "exports"),
        description="root of the exported data sets, any URL that fsspec knows",
    )
    model_url: str | None = Field(
        default=None,
        description="base URL of an OpenAI-compatible API; none: a stand-in inside the worker that speaks the same API",
    )
    model_key: SecretStr = Field(default=SecretStr("none"), description="what that API lets us in with")
    model_timeout_seconds: float = Field(default=20, gt=0, description="longest silence of that API that is waited out")
    model_rate: str = Field(default="50 per second", description="calls of that API by the whole fleet together")
    model_failures: str = Field(
        default="5 per 30 seconds", description="so many failures, and the fleet leaves that API alone for a while"
    )
    chat_model: str = "stand-in-chat"
    embedding_model: str = "stand-in-embedding"
    image_model: str = "stand-in-image"
    speech_model: str = Field(
        default="stand-in-speech", description='a model of that API, or "pocketsphinx", which needs no service'
    )
    tries: int = Field(default=6, gt=0, description="how often a task is run whose error may pass")
    retry_seconds: float = Field(default=2, gt=0, description="longest delay before the second try; doubled each time")
    limits_url: SecretStr | None = Field(
        default=None, description="Redis that counts calls for the whole fleet: redis://…; none: the broker, if Redis"
    )
    search_url: str | None = Field(
        default=None, description="a SearXNG instance; none: full text search in the documents stored"
    )
    mail_url: SecretStr = Field(
        default_factory=lambda: SecretStr(_below_state("file", "outbox")),
        description="smtps://user:password@host, smtp://… (STARTTLS), or a folder for .eml files: file://…",
    )
    mail_ca_file: Path | None = Field(default=None, description="certificates the mail server's is checked against")
    mail_from: str = "arena@example.org"
    tracing_url: SecretStr = Field(
        default_factory=lambda: SecretStr(_below_state("file", "traces")),
        description="https://public-key:secret-key@a-langfuse-host, or a folder for JSON lines: file://…",
    )
    staged_seconds: float = Field(default=24 * 3600, gt=0, description="how long an upload may wait to be stored")
    exports_days: int = Field(default=30, gt=0, description="how long an exported day is kept")
    cleanup_every_seconds: float = Field(
        default=300, gt=0, description="how often beat looks for what outlived its use"
    )
    ship_every_seconds: float = Field(default=60, gt=0, description="how often beat ships traces")
    rate_every_seconds: float = Field(default=600, gt=0, description="how often beat computes the leaderboard")


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings()
