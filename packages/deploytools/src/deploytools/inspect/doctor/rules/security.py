"""Who gets in, and who reads along."""

import re
import ssl
from typing import Any

from deploytools.broker.address import BrokerAddress
from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule
from deploytools.inspect.doctor.rules.commands import Commands

LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+|::1)$")
# A password in a URL, unless it is masked.
PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s*]+@|[?&]password=[^&*]+")
PICKLES = frozenset({"pickle", "application/x-python-serialize"})
VERIFYING = (ssl.CERT_REQUIRED, "required", "CERT_REQUIRED")


def is_beyond_host(address: BrokerAddress | None) -> bool:
    """Say whether messages leave this host."""
    return address is not None and address.host is not None and not LOOPBACK.match(address.host)


@rule(
    Severity.ERROR,
    consequence="Every user of the host reads it (`ps`), and so does whatever collects process lists.",
    fix="CELERY_BROKER_URL or a file (CELERY_BROKER_PASSWORD_FILE); FLOWER_BASIC_AUTH for Flower.",
    source="celery/apps/worker.py:316-321",
)
def password_on_command_line(commands: Commands) -> Occurrences:
    """A password stands on the command line."""
    for command in commands:
        for secret in command.secrets:
            yield command.where, secret


@rule(
    Severity.ERROR,
    consequence="`inspect conf`, `celery report` and Flower show it: Celery masks by the setting's name.",
    fix="Put it where the name says what it is: `redbeat_redis_options = {'password': …}`, or `…_password`.",
    source="celery/app/utils.py:35-38; run",
)
def password_in_settings(app: AppFacts) -> Occurrences:
    """A setting that Celery does not mask holds a password."""
    for name, value in app.shown.items():
        if PASSWORD.search(str(value)):
            yield app.name, f"{name}: a password in its URL"


@rule(
    Severity.ERROR,
    consequence="Whoever reaches it publishes tasks, stops workers and reads all arguments.",
    fix="A password, and a user of the least rights: `deploytools broker.acl`.",
    source="SECURITY.md",
)
def broker_without_password(app: AppFacts) -> Occurrences:
    """The broker on the network asks for no password."""
    told = app.conf.get("broker_read_url") or ""
    if app.broker and is_beyond_host(app.broker) and not app.broker.password and "credential_provider" not in told:
        yield app.name, str(app.broker)


@rule(
    Severity.WARNING,
    consequence="The password and all arguments cross the network in the clear.",
    fix="`rediss://…?ssl_cert_reqs=required`, `amqps://`.",
    source="SECURITY.md",
)
def broker_unencrypted(app: AppFacts) -> Occurrences:
    """The broker on the network is spoken to without TLS."""
    if app.broker and is_beyond_host(app.broker) and not app.broker.is_tls:
        yield app.name, str(app.broker)


@rule(
    Severity.ERROR,
    consequence="Anybody between the two can pose as the broker, and gets the password.",
    fix="`?ssl_cert_reqs=required` in the URL, or `broker_use_ssl = {'ssl_cert_reqs': ssl.CERT_REQUIRED}`.",
    source="kombu/connection.py:324-329",
)
def certificate_not_checked(app: AppFacts) -> Occurrences:
    """`rediss://` is used without checking the certificate."""
    if app.broker is None or app.broker.scheme != "rediss":
        return
    options: Any = app.conf.get("broker_use_ssl")
    told = options.get("ssl_cert_reqs") if isinstance(options, dict) else None
    if (app.broker.tls_options.get("ssl_cert_reqs") or told) not in VERIFYING:
        yield app.name, f"{app.broker}: no ssl_cert_reqs=required"


@rule(
    Severity.ERROR,
    consequence="Whoever can write to the broker runs any code in the worker.",
    fix="`accept_content = ['json']`.",
    source="SECURITY.md",
)
def pickle_accepted(app: AppFacts) -> Occurrences:
    """Workers accept pickle."""
    accepted = {*(app.conf["accept_content"] or ()), *(app.conf.get("result_accept_content") or ())}
    for name in sorted(accepted & PICKLES):
        yield app.name, f"accept_content: {name}"


@rule(
    Severity.ERROR,
    consequence="Anybody on the network sees arguments and results, and can stop workers and revoke tasks.",
    fix="`deploytools flower`, or FLOWER_BASIC_AUTH and `--address=127.0.0.1`.",
    source="flower/options.py",
)
def flower_open(commands: Commands) -> Occurrences:
    """Flower listens on the network and asks for no password."""
    for command in commands:
        guarded = {"basic_auth", "auth", "auth_provider"} & set(command.options)
        if command.program != "flower" or guarded or "FLOWER_BASIC_AUTH" in command.environment:
            continue
        address = str(command.options.get("address", ""))
        if not LOOPBACK.match(address):
            yield command.where, f"address {address or 'any'}, no basic_auth"
