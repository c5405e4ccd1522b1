"""Who gets in, and what is shown."""

import ssl
from ipaddress import ip_address

from deploytools.broker.address import BrokerAddress
from deploytools.inspect.doctor.argv import CREDENTIALS, SECRET_FLOWER_OPTIONS
from deploytools.inspect.doctor.evidence import AppFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.commands import Commands

UNCHECKED = {None, ssl.CERT_NONE, "none", "CERT_NONE"}


def is_local(address: BrokerAddress) -> bool:
    """Say whether a broker is reached without leaving this host."""
    if address.socket_path or address.host == "localhost":
        return True
    try:
        return ip_address(address.host or "").is_loopback
    except ValueError:
        return False


@rule(
    Severity.ERROR,
    consequence="Whoever can write to the broker runs any code in the workers.",
    fix="Set `accept_content = ['json']`.",
    source="celery/app/defaults.py:13; Python's pickle",
)
def pickle_accepted(app: AppFacts) -> Signs:
    """Workers accept pickled messages."""
    accepted = [str(kind) for kind in app.conf["accept_content"] or ()]
    if any("pickle" in kind for kind in accepted):
        yield app.name, f"accept_content = {accepted}"


@rule(
    Severity.ERROR,
    consequence="Celery's guard against pickled messages run as root is off.",
    fix="Run as another user, and remove C_FORCE_ROOT.",
    source="celery/platforms.py:897-903",
)
def root_forced(commands: Commands) -> Signs:
    """C_FORCE_ROOT is set."""
    for command in commands:
        if "C_FORCE_ROOT" in command.environment:
            yield command.where, "C_FORCE_ROOT"


@rule(
    Severity.ERROR,
    consequence="Every user of the host can read the password in the list of processes.",
    fix="Put it into the environment, or a file: CELERY_BROKER_URL, CELERY_BROKER_PASSWORD_FILE, FLOWER_BASIC_AUTH.",
    source="celery/apps/worker.py:316-321",
)
def password_on_command_line(commands: Commands) -> Signs:
    """A password is on a command line."""
    for command in commands:
        for secret in command.secrets:
            yield command.where, secret


@rule(
    Severity.ERROR,
    consequence="Anybody on the way can be the broker: `rediss://` alone does not look at the certificate.",
    fix="Add `?ssl_cert_reqs=required` to the URL, or install a fleet, which checks by default.",
    source="kombu/connection.py:324-329",
)
def certificate_unchecked(app: AppFacts) -> Signs:
    """The broker's certificate is not checked."""
    if app.broker is None or app.broker.scheme != "rediss":
        return
    options = app.conf.get("broker_use_ssl")
    chosen = options.get("ssl_cert_reqs") if isinstance(options, dict) else None
    required = app.broker.tls_options.get("ssl_cert_reqs", chosen)
    if required in UNCHECKED:
        yield app.name, f"ssl_cert_reqs = {required}"


@rule(
    Severity.ERROR,
    consequence="Whoever reaches it publishes tasks, reads their arguments, or stops the workers.",
    fix="Give it a user with the least rights (`deploytools broker.acl`) and a password.",
    source="celery/app/control.py:442-443",
)
def broker_without_password(app: AppFacts) -> Signs:
    """A broker on another host asks for no password."""
    broker = app.broker
    if broker and not is_local(broker) and not broker.password and "credential_provider" not in broker.url:
        yield app.name, str(broker)


@rule(
    Severity.NOTE,
    consequence="Passwords and arguments can be read on the way.",
    fix="Use `rediss://` or `amqps://` wherever the network is not yours alone.",
    source="the guide's security notes",
)
def broker_in_plain_text(app: AppFacts) -> Signs:
    """The connection to a broker on another host is not encrypted."""
    if app.broker and not is_local(app.broker) and not app.broker.is_tls:
        yield app.name, str(app.broker)


@rule(
    Severity.ERROR,
    consequence="`celery report`, `inspect conf` and Flower show it to whoever asks.",
    fix="Move it to a setting whose name Celery masks (…PASSWORD…), for RedBeat `redbeat_redis_options`.",
    source="celery/app/utils.py:35-38; run",
)
def password_shown(app: AppFacts) -> Signs:
    """A setting shows a password."""
    for name, value in sorted(app.shown.items()):
        if isinstance(value, str) and CREDENTIALS.search(value) and "**" not in value:
            yield name, f"{value.partition('://')[0]}://…@"


@rule(
    Severity.ERROR,
    consequence="Whoever reaches its port can stop workers, and read and revoke tasks.",
    fix="Use `deploytools flower`, or set FLOWER_BASIC_AUTH.",
    source="Flower's documentation; CVE-2022-30034",
)
def flower_without_password(commands: Commands) -> Signs:
    """Flower lets everybody in."""
    for command in commands:
        asks = "FLOWER_BASIC_AUTH" in command.environment or any(
            name.replace("-", "_") in {*SECRET_FLOWER_OPTIONS, "auth", "auth_provider"} for name in command.options
        )
        if command.program == "flower" and not asks:
            yield command.where, "no authentication"


@rule(
    Severity.ERROR,
    consequence="The shell swallows SIGTERM: a stop is a SIGKILL after the grace period, in the middle of tasks.",
    fix="Use `exec`, or the exec form of a container's command.",
    source="run in a PID namespace",
)
def shell_above_celery(commands: Commands) -> Signs:
    """A shell stands between the supervisor and Celery."""
    for command in commands:
        if command.shell:
            yield command.where, command.shell[:80]
