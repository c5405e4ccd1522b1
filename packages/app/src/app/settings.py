"""The environment of the application, read once. `APP_` variables; the defaults need no account and no network."""

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploytools.project import Project
from deploytools.settings import current_project


def project() -> Project:
    """Return this project: the application carries its fleet, so it works from any folder."""
    return current_project(packaged_fleet=Path(__file__).with_name("fleet.toml"))


class Settings(BaseSettings):
    """Where the application keeps things, and how long."""

    model_config = SettingsConfigDict(env_prefix="APP_", frozen=True)

    objects_url: str = Field(
        default_factory=lambda: (project().state / "objects").as_uri(),  # noqa: PLW0108 — the folder may be another later
        description="root of all objects, any URL that fsspec knows: file://…, s3://bucket/prefix",
    )
    staged_seconds: float = Field(default=24 * 3600, gt=0, description="how long an upload may wait to be stored")
    cleanup_every_seconds: float = Field(default=300, gt=0, description="how often beat looks for expired uploads")


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings()
