"""Broker addresses that never print their password."""

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from deploytools.errors import BrokerAddressError
from deploytools.fleet import Fleet

# kombu transport names → default port. A Unix socket has none.
SCHEMES = {"redis": 6379, "rediss": 6379, "redis+socket": None, "amqp": 5672, "amqps": 5671, "pyamqp": 5672}
TLS_SCHEMES = frozenset({"rediss", "amqps"})
MASK = "********"


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerAddress:
    """A checked broker URL. `str()` and `repr()` mask the password; `url` is the real one, for the client only."""

    scheme: str
    host: str | None
    port: int | None
    socket_path: str | None
    username: str | None
    password: str | None
    url: str

    @property
    def is_redis(self) -> bool:
        """Whether the broker speaks Redis's protocol (Valkey does)."""
        return self.scheme.startswith("redis")

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in TLS_SCHEMES

    @property
    def tls_options(self) -> dict[str, str]:
        """What the URL says of certificates, in redis-py's words: `ssl_ca_certs`, `ssl_cert_reqs` and so on."""
        query = parse_qs(urlsplit(self.url).query)
        return {name: values[-1] for name, values in query.items() if name.startswith("ssl_")}

    def with_password(self, password: str) -> "BrokerAddress":
        """Return the same address with another password."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        login = f"{quote(self.username or '', safe='')}:{quote(password, safe='')}"
        url = urlunsplit(parts._replace(netloc=f"{login}@{host}"))
        return replace(self, password=password, url=url)

    def __str__(self) -> str:
        return mask_url(self.url)

    def __repr__(self) -> str:
        return f"BrokerAddress({self})"


def parse_address(url: str) -> BrokerAddress:
    """Check a broker URL; raise BrokerAddressError, with the password masked, when it cannot be understood."""
    masked = mask_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerAddressError(f"broker URL {masked}: {error}: write redis://[:password@]host:6379/0") from None
    if parts.scheme not in SCHEMES:
        raise BrokerAddressError(
            f"broker URL {masked}: unknown scheme {parts.scheme!r}: use one of {', '.join(SCHEMES)}"
        )
    is_socket = parts.scheme == "redis+socket"
    if not (parts.path if is_socket else parts.hostname):
        wanted = "redis+socket:///path/to/socket" if is_socket else f"{parts.scheme}://host:{SCHEMES[parts.scheme]}"
        raise BrokerAddressError(
            f"broker URL {masked}: it names no {'socket' if is_socket else 'host'}: write {wanted}"
        )
    return BrokerAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or SCHEMES[parts.scheme],
        socket_path=unquote(parts.path) if is_socket else None,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        url=url,
    )


def mask_url(url: str) -> str:
    """Replace every password in a URL: before the host, and in `password=` parameters."""
    head, at, host = url.rpartition("@")
    if at and ":" in (credentials := head.partition("://")[2] or head):
        user = credentials.partition(":")[0]
        url = f"{url.partition('://')[0]}://{user}:{MASK}@{host}"
    path, mark, query = url.partition("?")
    return f"{path}?{'&'.join(_mask_parameter(pair) for pair in query.split('&'))}" if mark else url


def _mask_parameter(pair: str) -> str:
    name = pair.partition("=")[0]
    return f"{name}={MASK}" if "password" in name.lower() else pair


def is_hardened(fleet: Fleet, address: BrokerAddress) -> bool:
    """Say whether messages are taken by `deploytools.transport`."""
    return address.is_redis and fleet.transport == "hardened"
