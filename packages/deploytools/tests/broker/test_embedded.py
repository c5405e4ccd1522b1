"""Where the embedded broker listens."""

import os
from pathlib import Path

import pytest

from deploytools.broker.embedded import MAX_SOCKET_PATH, EmbeddedBroker

SUFFIX = "/broker/valkey.sock"


def broker_with_path_of(length_bytes: int, letter: str = "x") -> EmbeddedBroker:
    """Return a broker whose socket, in its own folder, would have a path of so many bytes."""
    missing = length_bytes - len(f"/{SUFFIX}")
    name = letter * (missing // len(letter.encode()))
    return EmbeddedBroker(state=Path("/" + name.rjust(missing - len(name.encode()) + len(name), "x")))


def test_the_socket_is_in_the_brokers_own_folder() -> None:
    broker = EmbeddedBroker(state=Path("/srv/shop/state"))

    assert broker.socket_path == Path("/srv/shop/state/broker/valkey.sock")
    assert broker.log_path == Path("/srv/shop/state/broker/valkey.log")


@pytest.mark.parametrize(
    ("length_bytes", "letter", "stays"),
    [
        pytest.param(MAX_SOCKET_PATH, "x", True, id="the-longest-that-fits"),
        pytest.param(MAX_SOCKET_PATH + 1, "x", False, id="one-byte-too-long"),
        pytest.param(MAX_SOCKET_PATH, "é", True, id="the-longest-in-two-byte-letters"),
        pytest.param(MAX_SOCKET_PATH + 1, "é", False, id="bytes-count-not-letters"),
    ],
)
def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one_whatever_the_temporary_folder_is(
    monkeypatch: pytest.MonkeyPatch, length_bytes: int, letter: str, stays: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/elsewhere")
    broker = broker_with_path_of(length_bytes, letter)
    assert len(os.fsencode(broker.folder / "valkey.sock")) == length_bytes

    path = broker.socket_path

    assert (path.parent == broker.folder) is stays
    assert (path.parent == Path("/tmp")) is not stays  # noqa: S108 — a name to compare with; nothing is written
    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH


def test_two_projects_with_long_paths_have_sockets_of_their_own() -> None:
    one, other = (EmbeddedBroker(state=Path("/", "x" * 200, name)) for name in ("one", "other"))

    assert one.socket_path != other.socket_path
    assert one.socket_path == EmbeddedBroker(state=one.state).socket_path


@pytest.mark.parametrize("folder", ["/srv/shop", "/srv/my shop", "/home/eve@host:1/shop", "/srv/é"])
def test_the_address_leads_to_the_socket(folder: str) -> None:
    broker = EmbeddedBroker(state=Path(folder))

    assert broker.address.socket_path == str(broker.socket_path)


def test_a_broker_that_was_never_started_has_nothing_to_stop(tmp_path: Path) -> None:
    assert EmbeddedBroker(state=tmp_path / "state").stop() is False
    assert not (tmp_path / "state").exists()
