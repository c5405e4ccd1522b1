"""What the arena's tasks talk to, all real: nothing but files, or the services of a production."""

import base64
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from celery import Celery
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.services import language_model, limits
from app.services.database import engine, migrate
from app.services.exports import exports
from app.services.objects import objects
from app.services.stand_in import StandIn
from app.settings import settings
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.testing.brokers import EMBEDDED
from deploytools.testing.containers import SharedContainer
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.plugin import FOLDER, KINDS, SESSION
from deploytools.testing.waiting import wait_until

CACHED = (settings, objects, exports, engine, language_model.client, limits.storage)
FILES, SERVICES = "files", "services"
MAIL_USER, MAIL_PASSWORD = "arena", "a secret of the mail server"


@dataclass
class Parts:
    """What tasks talk to: its kind, the environment that says so, and what arrived there."""

    kind: str
    environment: dict[str, str] = field(default_factory=dict)
    mails: Callable[[], list[Message]] = list
    traces: Callable[[], list[dict[str, Any]]] = list


@pytest.fixture(params=[FILES, SERVICES])
def parts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """Provide what tasks talk to, empty, and let this process's tasks talk to it."""
    if request.param == SERVICES and request.config.stash[KINDS] == [EMBEDDED]:
        pytest.skip("only the embedded broker was asked for")
    with ExitStack() as stack:
        state = tmp_path / "state"
        if request.param == FILES:
            broker = EmbeddedBroker(state=state)
            broker.start()
            stack.callback(broker.stop)
            parts = Parts(FILES, mails=lambda: _read_outbox(state), traces=lambda: _read_lines(state))
        else:
            parts = _start_services(request.config, tmp_path, request.getfixturevalue("s3_endpoint"), stack)
        parts.environment["DEPLOYTOOLS_STATE"] = str(state)
        for name in [name for name in os.environ if name.startswith(("APP_", "CELERY_", "AWS_"))]:
            monkeypatch.delenv(name)
        for name, value in parts.environment.items():
            monkeypatch.setenv(name, value)
        with fresh():
            yield parts


@pytest.fixture
def run(parts: Parts) -> Callable[..., Any]:
    """Run a task in this process, as a worker would; return its result or raise its error."""
    from app.tasks import celery_app

    def run(name: str, *arguments: Any, task_id: str | None = None) -> Any:
        app: Celery = celery_app
        return app.tasks[f"app.tasks.{name}"].apply(arguments, task_id=task_id, throw=True).get()

    return run


@pytest.fixture
def picky_langfuse(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Serve a Langfuse that refuses what says that it is too large; yield the bodies it accepts."""
    accepted: list[bytes] = []

    class Picky(Answering):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b"too large" in body:
                self.send_json(413, {"message": "too large"})
            else:
                accepted.append(body)
                self.send_json(200, {})

    with serving(Picky) as url:
        monkeypatch.setenv("APP_TRACING_URL", url.replace("//", "//pk:sk@"))
        with fresh():
            yield accepted


@contextmanager
def fresh() -> Iterator[None]:
    """Let this process read its environment anew, and close what it opens meanwhile."""
    _forget()
    try:
        yield
    finally:
        if engine.cache_info().currsize:
            engine().dispose()
        _forget()


def _forget() -> None:
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def arena(fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FleetUnderTest]:
    """Return our own fleet, with this process looking at the same files."""
    for name in [name for name in os.environ if name.startswith(("APP_", "CELERY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DEPLOYTOOLS_STATE", str(fleet.project.state))
    monkeypatch.setenv("CELERY_BROKER_URL", fleet.broker.url)
    with fresh():
        yield fleet


def _read_outbox(state: Path) -> list[Message]:
    return [message_from_bytes(path.read_bytes()) for path in sorted((state / "outbox").glob("*"))]


def _read_lines(state: Path) -> list[dict[str, Any]]:
    files = sorted((state / "traces").glob("*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def _start_services(config: pytest.Config, folder: Path, s3: str, stack: ExitStack) -> Parts:
    session, shared = config.stash[SESSION], config.stash[FOLDER]
    postgres = SharedContainer.start(
        "postgres:17",
        port=5432,
        log_when_ready="listening on IPv4 address",
        session=session,
        folder=shared,
        prepare=lambda container: container.with_env("POSTGRES_PASSWORD", "secret"),
        name="postgres-of-the-arena",
    )
    redis = SharedContainer.start(
        "redis:8.0",
        port=6379,
        log_when_ready="Ready to accept connections",
        session=session,
        folder=shared,
        name="redis-of-the-arena",
    )
    mails: list[Message] = []
    spans: list[dict[str, Any]] = []
    mail_url, authority = stack.enter_context(_mail_server(folder, mails))
    parts = Parts(SERVICES, mails=lambda: mails, traces=lambda: spans)
    parts.environment = {
        "APP_DATABASE_URL": _make_database(f"{postgres.host}:{postgres.port}"),
        "APP_LIMITS_URL": f"redis://{redis.host}:{redis.port}/0",
        "APP_MODEL_URL": f"{stack.enter_context(serving(StandIn))}/v1",
        "APP_SEARCH_URL": stack.enter_context(serving(SearXNG)),
        "APP_MAIL_URL": mail_url,
        "APP_MAIL_CA_FILE": str(authority),
        "APP_TRACING_URL": stack.enter_context(serving(langfuse(spans))).replace("//", "//pk-arena:sk-arena@"),
        **_make_bucket(s3),
    }
    return parts


def _make_database(where: str) -> str:
    name = f"arena_{uuid4().hex}"

    def create() -> bool:
        server = create_engine(
            f"postgresql+psycopg://postgres:secret@{where}/postgres?client_encoding=utf8", isolation_level="AUTOCOMMIT"
        )
        try:
            with server.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"))
        except OperationalError:
            return False
        finally:
            server.dispose()
        return True

    wait_until(create, "PostgreSQL to let us in")
    url = f"postgresql+psycopg://postgres:secret@{where}/{name}"
    migrate(url)
    return url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Serve S3 to this test process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _make_bucket(endpoint: str) -> dict[str, str]:
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "arena", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    bucket = f"arena-{uuid4().hex}"
    boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="arena", aws_secret_access_key="secret", region_name="us-east-1"
    ).create_bucket(Bucket=bucket)
    places = {"APP_OBJECTS_URL": f"s3://{bucket}/store", "APP_EXPORTS_URL": f"s3://{bucket}/exports"}
    return {"AWS_ENDPOINT_URL": endpoint, **keys, **places}


@contextmanager
def _mail_server(folder: Path, mails: list[Message]) -> Iterator[tuple[str, Path]]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "mail-ca.pem"))

    class Keep:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            if any("nobody" in recipient for recipient in envelope.rcpt_tos):
                return "550 no such user here"
            mails.append(message_from_bytes(envelope.content))
            return "250 kept"

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        expected = LoginPassword(MAIL_USER.encode(), MAIL_PASSWORD.encode())
        return AuthResult(success=data == expected, handled=False)

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    controller = Controller(
        Keep(),
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
    )
    controller.start()
    try:
        yield f"smtp://{MAIL_USER}:{MAIL_PASSWORD.replace(' ', '%20')}@localhost:{port}", folder / "mail-ca.pem"
    finally:
        controller.stop()


class Answering(BaseHTTPRequestHandler):
    """A server of JSON."""

    def send_json(self, status: int, answer: Any) -> None:
        """Answer."""
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class SearXNG(Answering):
    """A SearXNG with the JSON format allowed."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert urlsplit(self.path).path == "/search"
        assert query["format"] == ["json"]
        found = [
            {"title": f"{query['q'][0]} {number}", "url": f"https://example.org/{number}", "content": "text"}
            for number in range(20)
        ]
        self.send_json(200, {"query": query["q"][0], "results": found})


def langfuse(spans: list[dict[str, Any]]) -> type[Answering]:
    """Make a Langfuse that keeps spans by their name, as the real one does."""

    class Langfuse(Answering):
        def do_POST(self) -> None:
            login = base64.b64encode(b"pk-arena:sk-arena").decode()
            if self.path != "/api/public/otel/v1/traces" or self.headers["Authorization"] != f"Basic {login}":
                self.send_json(401, {"message": "who are you?"})
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        spans[:] = [known for known in spans if known["spanId"] != span["spanId"]] + [span]
            self.send_json(200, {})

    return Langfuse


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on loopback; yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
