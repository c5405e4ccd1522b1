"""The environment of the application."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import app
from app.settings import Settings, project, settings


def test_without_variables_objects_are_kept_in_the_projects_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("APP_OBJECTS_URL")

    assert Settings() == Settings(
        objects_url=(tmp_path / "state" / "objects").as_uri(), staged_seconds=86_400, cleanup_every_seconds=300
    )


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        pytest.param("APP_OBJECTS_URL", "s3://bucket/prefix", "s3://bucket/prefix", id="objects"),
        pytest.param("APP_STAGED_SECONDS", "60", 60.0, id="staged"),
        pytest.param("APP_CLEANUP_EVERY_SECONDS", "0.5", 0.5, id="cleanup"),
    ],
)
def test_each_variable_sets_one_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: str | float
) -> None:
    monkeypatch.setenv(variable, text)

    assert getattr(settings(), variable.removeprefix("APP_").lower()) == value


@pytest.mark.parametrize("variable", ["APP_STAGED_SECONDS", "APP_CLEANUP_EVERY_SECONDS"])
@pytest.mark.parametrize("text", ["0", "-1", "soon", ""])
def test_a_duration_that_cannot_be_used_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ValidationError, match=variable.removeprefix("APP_").lower()):
        settings()


def test_settings_are_read_once_and_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("APP_STAGED_SECONDS", "60")

    assert settings() is before
    with pytest.raises(ValidationError):
        before.staged_seconds = 1


def test_the_application_carries_its_fleet_and_works_from_any_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert project().fleet_path == Path(app.__path__[0]) / "fleet.toml"
    assert project().state == tmp_path / "state"
    assert project().fleet().app == "app.tasks:celery_app"


def test_another_fleet_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPLOYTOOLS_FLEET", str(tmp_path / "other.toml"))

    assert project().fleet_path == tmp_path / "other.toml"
