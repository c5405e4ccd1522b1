"""Import a project's Celery application."""

import sys
from importlib import import_module
from pathlib import Path

from celery import Celery
from celery.app.utils import find_app

from deploytools.errors import AppError, DeploytoolsError
from deploytools.fleet import Fleet
from deploytools.project import Project


def load_app(project: Project, fleet: Fleet) -> Celery:
    """Import the application that `[fleet] app` names; raise AppError where that fails."""
    return import_app(project.root, fleet.app, named_by="[fleet] app")


def import_app(root: Path, name: str, *, named_by: str) -> Celery:
    """Import an application, `module:attribute`, from a folder; raise AppError where that fails."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        import_module(name.partition(":")[0])
        app: Celery = find_app(name)
    except DeploytoolsError:
        raise
    except Exception as error:
        raise AppError(
            f"{named_by} = {name!r}: cannot be imported ({type(error).__name__}: {' '.join(str(error).split())}): "
            f"run it by hand: python -c 'import {name.partition(':')[0]}'"
        ) from error
    return app
