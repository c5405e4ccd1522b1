"""Celery's command line without third-party plug-ins."""

import importlib.metadata
from pathlib import Path

import pytest

from deploytools.celery import _no_celery_plugins

PLUGINS = """
[celery.commands]
flower = shop:command
[shop.plugins]
till = shop:till
"""


@pytest.fixture(autouse=True)
def _installed_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "shop-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(PLUGINS)
    monkeypatch.syspath_prepend(tmp_path)


def test_packages_that_add_celery_commands_are_not_seen() -> None:
    assert "flower" in importlib.metadata.entry_points(group="celery.commands").names

    assert not _no_celery_plugins(group="celery.commands")


def test_other_plugins_are_seen_as_ever() -> None:
    assert _no_celery_plugins(group="shop.plugins").names == {"till"}
    assert _no_celery_plugins().groups == importlib.metadata.entry_points().groups
