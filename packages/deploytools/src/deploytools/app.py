"""Import a project's Celery application."""

import sys
from importlib import import_module

from celery import Celery
from celery.app.utils import find_app

from deploytools.errors import AppError, FleetToolsError
from deploytools.fleet import Fleet
from deploytools.project import Project


def load_app(project: Project, fleet: Fleet) -> Celery:
    """Import the application that `[fleet] app` names; raise AppError where that fails."""
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))
    try:
        import_module(fleet.app.partition(":")[0])
        app: Celery = find_app(fleet.app)
    except FleetToolsError:
        raise
    except Exception as error:
        raise AppError(
            f"[fleet] app = {fleet.app!r}: cannot be imported ({type(error).__name__}: {error}): "
            f"run it by hand: python -c 'import {fleet.app.partition(':')[0]}'"
        ) from error
    return app
