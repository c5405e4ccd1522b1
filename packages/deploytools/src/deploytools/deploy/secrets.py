"""The secrets of a compose deployment, as files below `compose/secrets`: made once, never printed."""

import hashlib
import secrets
from pathlib import Path

from deploytools.broker.acl import acl_rules
from deploytools.fleet import Fleet
from deploytools.render.container import BROKER_USER, HEALTH_USER

PASSWORD_BYTES = 32


def init_secrets(folder: Path, fleet: Fleet) -> list[Path]:
    """Make the secrets that are missing, and the broker's access list as the fleet has it; return what was written.

    A password is never overwritten. Compose shows a secret to a container as the file it is, owner and mode included,
    and the container's user is nobody on this host; so all may read the files, and only the owner may enter the folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [
        path
        for name, user in (("broker_password", ""), ("flower_auth", "flower:"))
        if not (path := folder / name).exists() and _write(path, f"{user}{secrets.token_urlsafe(PASSWORD_BYTES)}\n")
    ]
    acl = folder / "broker_acl"
    text = access_list(fleet, (folder / "broker_password").read_text().strip())
    if not acl.exists() or acl.read_text() != text:
        _write(acl, text)  # in place: a container that has it mounted goes on seeing this file
        made.append(acl)
    return made


def access_list(fleet: Fleet, password: str) -> str:
    """Return the broker's access list: the fleet may what it needs, and everybody may ask whether the broker is there.

    Nobody can log in as `default`, but it must be allowed everything: the server reads its append-only file as that
    user, leaves out each transaction which that user may not make, and starts all the same.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    rules = (*acl_rules(fleet), *fleet.deploy.broker_rules)
    return (
        "user default off resetpass allkeys allchannels allcommands\n"
        f"user {HEALTH_USER} on nopass resetkeys resetchannels nocommands +ping\n"
        f"user {BROKER_USER} on #{digest} {' '.join(rules)}\n"
    )


def _write(path: Path, text: str) -> int:
    written = path.write_text(text)
    path.chmod(0o644)
    return written
