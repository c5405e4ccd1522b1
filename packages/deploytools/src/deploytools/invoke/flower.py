"""`flower`."""

import os
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deploytools.broker.choice import ready_broker
from deploytools.commands import flower_command
from deploytools.errors import SettingError
from deploytools.invoke.command import command
from deploytools.launch import exec_command
from deploytools.settings import current_project, current_settings, read_secret


@command(
    help={
        "address": "where to listen",
        "port": "the port to listen on",
        "dry": "print the command line and start nothing",
    }
)
def flower(_: Any, address: str = "127.0.0.1", port: int = 5555, dry: bool = False) -> None:
    """Start Flower, which asks for a password: FLOWER_BASIC_AUTH=user:password, or one it keeps for you.

    FLOWER_BASIC_AUTH_FILE names a file with the same.
    """
    settings, project = current_settings(), current_project()
    password_file, given = project.state / "flower-password", settings.flower_auth
    if settings.flower_auth_file and not dry:
        given = read_secret(settings.flower_auth_file, "FLOWER_BASIC_AUTH_FILE")
    auth = given or ("" if dry else f"flower:{_kept_password(password_file)}")
    line = flower_command(project.fleet(), address=address, port=port, auth=auth)
    if dry:
        print(line)
        return
    if find_spec("flower") is None:
        raise SettingError("Flower is not installed: pip install 'deploytools[flower]'")
    if not given:
        print(f"http://{address}:{port}  user: flower, password: in {password_file}", file=sys.stderr)
    ready_broker(settings, project)
    exec_command(line, project)


def _kept_password(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")  # an empty one would be a password for ever
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(18))
        new.rename(path)
    return path.read_text()
