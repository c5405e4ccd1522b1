"""Knock at a broker before a worker is started for it: it is there, and lets us in.

A dozen lines of the Redis protocol instead of a client: a launcher must not spend 0.2 s importing one.
"""

import socket
import ssl
import time

from deploytools.broker.address import BrokerAddress
from deploytools.errors import BrokerUnreachableError

TRY_AGAIN_SECONDS = 0.2
CONNECT_TIMEOUT_SECONDS = 2.0


def wait_until_reachable(address: BrokerAddress, *, deadline_seconds: float) -> None:
    """Wait until the broker answers; raise BrokerUnreachableError at the deadline, or at once where it refuses us."""
    give_up_at = time.monotonic() + deadline_seconds
    while True:
        try:
            return ping(address)
        except ssl.SSLCertVerificationError as error:
            raise BrokerUnreachableError(
                f"broker {address}: its certificate is not trusted ({error.verify_message}): "
                "name the authority's file in the URL: ?ssl_ca_certs=/path/ca.pem"
            ) from None
        except OSError as error:
            if time.monotonic() + TRY_AGAIN_SECONDS > give_up_at:
                raise BrokerUnreachableError(
                    f"broker {address}: {error.strerror or error}: start it, or correct CELERY_BROKER_URL"
                ) from None
        time.sleep(TRY_AGAIN_SECONDS)


def ping(address: BrokerAddress) -> None:
    """Connect once and, on Redis, log in and PING; raise OSError (not there) or BrokerUnreachableError (refused)."""
    with _connect(address) as connection:
        if not address.is_redis:
            return
        if address.password is not None:
            login = [address.username] if address.username else []
            _expect(address, _ask(connection, "AUTH", *login, address.password))
        _expect(address, _ask(connection, "PING"))


def is_reachable(address: BrokerAddress) -> bool:
    """Say whether the broker answers now."""
    try:
        ping(address)
    except (OSError, BrokerUnreachableError):
        return False
    return True


def _connect(address: BrokerAddress) -> socket.socket:
    if address.socket_path:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            connection.connect(address.socket_path)
        except OSError:
            connection.close()
            raise
        return connection
    connection = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_SECONDS)
    if not address.is_tls:
        return connection
    return _tls_context(address).wrap_socket(connection, server_hostname=address.host)


def _tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """Check certificates as the client will, by the same options: our password goes to nobody else."""
    options = address.tls_options
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        files = [value for name, value in options.items() if name.startswith(("ssl_ca", "ssl_cert", "ssl_key"))]
        raise BrokerUnreachableError(
            f"broker {address}: {error.strerror or error}: {' '.join(files)}: correct the URL"
        ) from None
    if options.get("ssl_check_hostname", "").lower() == "false":
        context.check_hostname = False
    if options.get("ssl_cert_reqs", "").lower().removeprefix("cert_") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _ask(connection: socket.socket, *words: str) -> str:
    parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    connection.sendall(f"*{len(words)}\r\n{parts}".encode())
    return connection.recv(512).decode("utf-8", "replace").strip()


def _expect(address: BrokerAddress, reply: str) -> None:
    if reply.startswith("-LOADING"):
        raise ConnectionError("it is still loading its data")
    if reply.startswith("-") or not reply:
        raise BrokerUnreachableError(
            f"broker {address}: it refuses us ({reply.lstrip('-') or 'connection closed'}): "
            "check user and password in CELERY_BROKER_URL"
        )
