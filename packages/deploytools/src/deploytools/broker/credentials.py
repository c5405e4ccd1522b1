"""Certificates and passwords: what a Celery application must be told so that a broker is who it says, and lets us in.

A password in a file is read at each new connection, so it can be changed while the fleet runs: allow the new one beside
the old, write the file, disallow the old one.
"""

import ssl
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.credentials import CredentialProvider

from deploytools.broker.address import BrokerAddress, parse_address
from deploytools.errors import SettingError
from deploytools.settings import Settings, current_settings, read_secret


def connection_settings(address: BrokerAddress, settings: Settings) -> dict[str, Any]:
    """Return the Celery settings by which connections are made.

    Celery does not check the certificate of a `rediss://` broker unless it is told to.
    """
    found: dict[str, Any] = {}
    if address.scheme == "rediss" and not address.tls_options:
        found["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    if settings.broker_password_file and address.is_redis:
        # Not `broker_url`: Celery lets CELERY_BROKER_URL, in which the password is missing, override that.
        found["broker_read_url"] = found["broker_write_url"] = _with_provider(address)
    return found


class PasswordFile(CredentialProvider):
    """Logs in as the user in CELERY_BROKER_URL, with what CELERY_BROKER_PASSWORD_FILE holds at that moment."""

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return user and password. A file that is not there counts as a broker that is not: it is tried again."""
        settings = current_settings()
        if settings.broker_url is None or settings.broker_password_file is None:
            raise ConnectionError("CELERY_BROKER_URL and CELERY_BROKER_PASSWORD_FILE must both be set")
        try:
            password = read_secret(settings.broker_password_file, "CELERY_BROKER_PASSWORD_FILE")
        except SettingError as error:
            raise ConnectionError(str(error)) from None
        user = parse_address(settings.broker_url).username
        return (user, password) if user else (password,)


def without_login(address: BrokerAddress) -> str:
    """Return the URL without user and password: Redis's client refuses them beside a credential provider."""
    parts = urlsplit(address.url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _with_provider(address: BrokerAddress) -> str:
    parts = urlsplit(without_login(address))
    query = "&".join(filter(None, [parts.query, f"credential_provider={__name__}.{PasswordFile.__name__}"]))
    return urlunsplit(parts._replace(query=query))
