import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from deploytools.broker.address import parse_address
from deploytools.broker.credentials import PasswordFile, connection_settings
from deploytools.errors import SettingError
from deploytools.settings import Settings, read_secret

USER = "rediss://fleet@host:6380/2?ssl_ca_certs=/ca.pem"


@pytest.mark.parametrize("password", ["plain", "a:b@c/d?e#f", "%41 ü"])
def test_a_password_from_a_file_arrives_as_it_is(password: str) -> None:
    address = parse_address(USER).with_password(password)

    assert unquote(str(urlsplit(address.url).password)) == password
    assert urlsplit(address.url).username == "fleet"
    assert password not in str(address)


def test_certificates_are_checked_unless_the_url_says_otherwise() -> None:
    bare = connection_settings(parse_address("rediss://host"), Settings())
    told = connection_settings(parse_address("rediss://host?ssl_cert_reqs=none"), Settings())

    assert bare == {"broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED}}
    assert told == {}


def test_celery_is_given_the_file_and_not_the_password() -> None:
    address = parse_address(USER).with_password("secret")

    found = connection_settings(address, Settings(broker_password_file=Path("/run/secret")))

    assert found["broker_read_url"] == found["broker_write_url"]
    assert "secret" not in found["broker_read_url"].partition("?")[0]
    assert found["broker_read_url"].endswith("credential_provider=deploytools.broker.credentials.PasswordFile")


def test_the_file_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "password"
    monkeypatch.setenv("CELERY_BROKER_URL", USER)
    monkeypatch.setenv("CELERY_BROKER_PASSWORD_FILE", str(path))
    provider = PasswordFile()

    with pytest.raises(ConnectionError, match="No such file"):  # as if the broker were away: tried again
        provider.get_credentials()
    for password in ("old", "new"):
        path.write_text(f"{password}\n")
        assert provider.get_credentials() == ("fleet", password)


def test_an_empty_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch()

    with pytest.raises(SettingError, match="it is empty"):
        read_secret(path, "CELERY_BROKER_PASSWORD_FILE")
