"""`secrets.init`: the passwords of a compose deployment."""

from pathlib import Path
from typing import Any

from invoke.collection import Collection

from deploytools.invoke.command import command
from deploytools.settings import current_project


@command()
def init(_: Any) -> None:
    """Make the secrets of the compose file that are missing; what is there stays."""
    write_secrets()


def write_secrets() -> list[Path]:
    """Make what is missing; print and return which files these are."""
    from deploytools.deploy.secrets import init_secrets
    from deploytools.render.compose import SECRETS_FOLDER

    project = current_project()
    made = init_secrets(project.root / SECRETS_FOLDER, project.fleet())
    for path in made:
        print(path.relative_to(project.root))
    return made


ns = Collection("secrets", init)
