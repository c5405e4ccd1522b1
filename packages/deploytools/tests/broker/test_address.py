"""Broker URLs: understood, refused, and never shown with their password."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploytools.broker.address import MASK, BrokerAddress, mask_url, parse_address
from deploytools.errors import BrokerAddressError


def fields(address: BrokerAddress) -> tuple[str, str | None, int | None, str | None, str | None, str | None]:
    """Return what was understood of a URL."""
    return (address.scheme, address.host, address.port, address.socket_path, address.username, address.password)


@pytest.mark.parametrize(
    ("url", "understood"),
    [
        pytest.param("redis://host", ("redis", "host", 6379, None, None, None), id="redis-default-port"),
        pytest.param("redis://host:7000/3", ("redis", "host", 7000, None, None, None), id="redis-port"),
        pytest.param("redis://[::1]:7000", ("redis", "::1", 7000, None, None, None), id="ipv6"),
        pytest.param("redis://:pw@host", ("redis", "host", 6379, None, None, "pw"), id="password-only"),
        pytest.param("redis://eve@host", ("redis", "host", 6379, None, "eve", None), id="user-only"),
        pytest.param("redis://eve:p%40w@host", ("redis", "host", 6379, None, "eve", "p@w"), id="quoted-password"),
        pytest.param("rediss://e%3Ave:pw@host", ("rediss", "host", 6379, None, "e:ve", "pw"), id="tls-quoted-user"),
        pytest.param("redis+socket:///run/a%20b", ("redis+socket", None, None, "/run/a b", None, None), id="socket"),
        pytest.param(
            "redis+socket://:pw@/run/a", ("redis+socket", None, None, "/run/a", None, "pw"), id="socket-password"
        ),
        pytest.param("amqp://eve:pw@host//", ("amqp", "host", 5672, None, "eve", "pw"), id="amqp"),
        pytest.param("pyamqp://host", ("pyamqp", "host", 5672, None, None, None), id="pyamqp"),
        pytest.param("amqps://host", ("amqps", "host", 5671, None, None, None), id="amqps"),
    ],
)
def test_a_url_is_understood_and_kept_as_it_was(
    url: str, understood: tuple[str, str | None, int | None, str | None, str | None, str | None]
) -> None:
    address = parse_address(url)

    assert fields(address) == understood
    assert address.url == url


@pytest.mark.parametrize(
    ("scheme", "is_redis", "is_tls"),
    [
        ("redis", True, False),
        ("rediss", True, True),
        ("redis+socket", True, False),
        ("amqp", False, False),
        ("amqps", False, True),
        ("pyamqp", False, False),
    ],
)
def test_a_scheme_says_which_protocol_and_whether_it_is_encrypted(scheme: str, is_redis: bool, is_tls: bool) -> None:
    address = parse_address(f"{scheme}://host/path")

    assert (address.is_redis, address.is_tls) == (is_redis, is_tls)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("redis://host:6379/0", "redis://host:6379/0", id="no-password"),
        pytest.param("redis://eve@host", "redis://eve@host", id="user-only"),
        pytest.param("redis://:pw@host/0", f"redis://:{MASK}@host/0", id="password-only"),
        pytest.param("amqp://eve:pw@host//", f"amqp://eve:{MASK}@host//", id="user-and-password"),
        pytest.param("redis://eve:p@w:x/y#z?q@host", f"redis://eve:{MASK}@host", id="nothing-quoted"),
        pytest.param("redis+socket:///run/a.sock", "redis+socket:///run/a.sock", id="socket"),
        pytest.param("redis+socket:///home/e@x:y/a", "redis+socket:///home/e@x:y/a", id="socket-path-with-at-sign"),
        pytest.param("redis+socket://:pw@/run/a", f"redis+socket://:{MASK}@/run/a", id="socket-password"),
        pytest.param("redis://host/0?password=pw", f"redis://host/0?password={MASK}", id="query"),
        pytest.param(
            "rediss://:pw@host/0?ssl_keyfile_PASSWORD=pw&ssl_cert_reqs=none",
            f"rediss://:{MASK}@host/0?ssl_keyfile_PASSWORD={MASK}&ssl_cert_reqs=none",
            id="query-among-others",
        ),
        pytest.param("redis://host?a&password=", f"redis://host?a&password={MASK}", id="query-without-values"),
    ],
)
def test_passwords_are_masked_and_nothing_else(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_an_address_shows_itself_masked() -> None:
    address = parse_address("redis://eve:pw@host/0")

    assert f"{address}" == f"redis://eve:{MASK}@host/0"
    assert f"{address!r}" == f"BrokerAddress(redis://eve:{MASK}@host/0)"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param(
            "http://eve:S3cr3t@host",
            f"broker URL http://eve:{MASK}@host: unknown scheme 'http': "
            "use one of redis, rediss, redis+socket, amqp, amqps, pyamqp",
            id="unknown-scheme",
        ),
        pytest.param(
            "",
            "broker URL : unknown scheme '': use one of redis, rediss, redis+socket, amqp, amqps, pyamqp",
            id="empty",
        ),
        pytest.param(
            "redis://", "broker URL redis://: it names no host: write redis://host:6379", id="redis-without-host"
        ),
        pytest.param(
            "amqps://eve:S3cr3t@",
            f"broker URL amqps://eve:{MASK}@: it names no host: write amqps://host:5671",
            id="amqps-without-host",
        ),
        pytest.param(
            "redis+socket://:S3cr3t@?password=S3cr3t",
            f"broker URL redis+socket://:{MASK}@?password={MASK}: it names no socket: "
            "write redis+socket:///path/to/socket",
            id="socket-without-path",
        ),
        pytest.param(
            "redis://:S3cr3t@host:99999",
            f"broker URL redis://:{MASK}@host:99999: Port out of range 0-65535: write redis://[:password@]host:6379/0",
            id="port-out-of-range",
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(BrokerAddressError) as caught:
        parse_address(url)

    assert str(caught.value) == message


passwords = st.text(max_size=20).map("S3cr3t{}T41l".format)


def hides(password: str, *shown: str) -> bool:
    """Say whether neither the beginning nor the end of a password is shown."""
    return not any(part in text for part in (password[:6], password[-4:]) for text in shown)


@given(passwords)
def test_no_password_is_ever_shown(password: str) -> None:
    quoted = quote(password, safe="")
    url = f"redis://eve:{quoted}@host:6379/0?password={quoted}&health_check_interval=5"

    address = parse_address(url)

    assert address.password == password
    assert hides(password, str(address), repr(address), mask_url(url))


@given(passwords)
def test_a_password_is_hidden_in_an_error_too(password: str) -> None:
    quoted = quote(password, safe="")

    with pytest.raises(BrokerAddressError) as caught:
        parse_address(f"http://eve:{quoted}@host/?password={quoted}")

    assert hides(password, str(caught.value), repr(caught.value))


@given(passwords)
def test_a_password_that_nobody_quoted_is_hidden_too(password: str) -> None:
    assert hides(password, mask_url(f"redis://eve:{password}@host:6379/0"))
