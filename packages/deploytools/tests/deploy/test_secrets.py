"""Secrets of a compose deployment: made once, closed to others, and followed by the broker's access list."""

import stat
from pathlib import Path

import msgspec

from deploytools.deploy.secrets import init_secrets
from deploytools.fleet import Deploy, Fleet


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_may_enter(fleet: Fleet, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    made = init_secrets(folder, fleet)
    before = {path.name: path.read_text() for path in made}
    again = init_secrets(folder, fleet)

    assert sorted(before) == ["broker_acl", "broker_password", "flower_auth"]
    assert again == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o644}  # the container's user is not the owner
    assert before["broker_password"].strip() not in before["broker_acl"]


def test_the_access_list_follows_the_fleet_and_the_password_stays(fleet: Fleet, tmp_path: Path) -> None:
    init_secrets(tmp_path, fleet)
    password = (tmp_path / "broker_password").read_text()
    inode = (tmp_path / "broker_acl").stat().st_ino

    made = init_secrets(tmp_path, msgspec.structs.replace(fleet, deploy=Deploy(broker_rules=("~mine",))))

    assert [path.name for path in made] == ["broker_acl"]
    assert (tmp_path / "broker_acl").read_text().endswith(" ~mine\n")
    assert (tmp_path / "broker_acl").stat().st_ino == inode  # a container has this very file mounted
    assert (tmp_path / "broker_password").read_text() == password
