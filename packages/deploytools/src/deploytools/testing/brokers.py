"""Brokers to test on: an embedded Valkey, or a container that all tests of a run share, a database or vhost each."""

import hashlib
import json
import os
import secrets
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from deploytools.broker.acl import acl_rules
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.fleet import Fleet
from deploytools.testing.certificates import make_certificates
from deploytools.testing.containers import SharedContainer, share_folder
from deploytools.testing.proxy import Proxy
from deploytools.testing.reaper import Kind, watch

EMBEDDED = "embedded"
# An image name with this behind it: with TLS, and a user of the least rights that work.
SECURE = "+tls"
TLS_OPTIONS = (
    *("--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no"),
    *("--tls-cert-file", "/tls/server.pem", "--tls-key-file", "/tls/server.key", "--tls-ca-cert-file", "/tls/ca.pem"),
)
# Where there is a container engine, every test runs on the embedded broker and on each of these images.
IMAGES = ("redis:8.0", "redis:8.0+tls", "redis:7.0", "valkey/valkey:8.1", "rabbitmq:4.0")
# Redis has 16 databases, and database 0 is for whoever is alone.
MAX_TEST_PROCESSES = 15


class Broker(ABC):
    """A broker, or the part of a shared one that belongs to this test process alone."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url

    @property
    def is_redis(self) -> bool:
        """Whether it speaks Redis's protocol."""
        return self.url.startswith("redis")

    def admit(self, fleet: Fleet) -> None:  # noqa: B027 — most let everybody do everything
        """Give the fleet that is about to use it what it needs."""

    @abstractmethod
    def clear(self, queues: Iterable[str]) -> None:
        """Forget every message."""

    @abstractmethod
    def drop_connections(self) -> None:
        """Close every connection of our part, as a network fault or a restart would."""

    @abstractmethod
    def put_raw(self, queue: str, messages: Iterable[bytes]) -> None:
        """Put bytes into a queue as they are, whether they are messages or not."""


class RedisBroker(Broker):
    """A database of a Redis or Valkey server."""

    def __init__(self, kind: str, url: str) -> None:
        super().__init__(kind, url)
        self._database = int(url.rpartition("/")[2]) if url.startswith("redis://") else 0
        self._client = redis.Redis.from_url(url.replace("redis+socket://", "unix://"))

    def clear(self, queues: Iterable[str]) -> None:  # noqa: ARG002 — a database is ours altogether
        """Forget every message, and whoever still waits for one.

        The server learns of a process's end a moment later: till then it would take the next test's first message.
        """
        self.drop_connections()
        self._client.flushdb()

    def drop_connections(self) -> None:
        """Close every connection to our database but this one."""
        own = self._client.client_id()
        for client in self._client.client_list():
            if int(client["db"]) == self._database and int(client["id"]) != own:
                self._client.client_kill_filter(_id=client["id"])

    def put_raw(self, queue: str, messages: Iterable[bytes]) -> None:
        """Put bytes into a queue's list."""
        self._client.lpush(queue, *messages)

    def close(self) -> None:
        """Close this connection."""
        self._client.close()


class EmbeddedRedisBroker(RedisBroker):
    """An embedded server of this test process alone, which may be broken."""

    def __init__(self, kind: str, embedded: EmbeddedBroker) -> None:
        super().__init__(kind, embedded.address.url)
        self._embedded = embedded

    def kill(self, *, away_seconds: float) -> None:
        """Kill it, and start it again on its append-only file after so long."""
        os.kill(self._embedded.pid(), signal.SIGKILL)
        time.sleep(away_seconds)
        self._embedded.start()

    def pause(self, seconds: float) -> None:
        """Let it hang for so long: connections stay open, nothing is answered."""
        pid = self._embedded.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def fill(self, seconds: float) -> None:
        """Let it be over its memory limit for so long: it refuses what needs memory."""
        self._client.config_set("maxmemory", "1mb")
        try:
            time.sleep(seconds)
        finally:
            self._client.config_set("maxmemory", "0")


class ProxiedRedisBroker(EmbeddedRedisBroker):
    """An embedded server behind a network that may be broken."""

    def __init__(self, behind: EmbeddedRedisBroker) -> None:
        super().__init__(behind.kind, behind._embedded)
        self._proxy = Proxy(behind._embedded.socket_path)
        self.url = f"redis://127.0.0.1:{self._proxy.port}/0"

    def cut(self, seconds: float) -> None:
        """Let no byte through for so long."""
        self._proxy.cut()
        time.sleep(seconds)
        self._proxy.heal()

    def slow_down(self, seconds: float) -> None:
        """Hold back everything by a tenth of a second, for so long."""
        self._proxy.slow_down(0.1)
        time.sleep(seconds)
        self._proxy.heal()

    def close(self) -> None:
        """End the network, and this connection."""
        self._proxy.close()
        super().close()


class SecureRedisBroker(RedisBroker):
    """A database of a Redis server behind TLS, used by a user that may do what its fleet needs, and nothing else."""

    def __init__(self, kind: str, *, host: str, port: int, database: int, admin_password: str, ca_file: Path) -> None:
        self._where = f"{host}:{port}/{database}?ssl_ca_certs={ca_file}"
        self._user = f"fleet-{database}"
        self.password = f"let-me-in-{secrets.token_hex(8)}"
        super().__init__(kind, f"rediss://{self._user}:{self.password}@{self._where}")
        self._database = database
        self._client.close()
        self._client = redis.Redis.from_url(f"rediss://:{admin_password}@{self._where}")

    def admit(self, fleet: Fleet) -> None:
        """Give our user the rights of a fleet, and no other."""
        self.let_in(self.password, rules=acl_rules(fleet, database=self._database))

    def let_in(self, *passwords: str, rules: Iterable[str] = ()) -> None:
        """Have our user log in by these passwords only."""
        words = ["on", "resetpass", *(f">{password}" for password in passwords), *rules]
        self._client.execute_command("ACL", "SETUSER", self._user, *words)  # type: ignore[no-untyped-call]

    def refusals(self) -> list[dict[str, Any]]:
        """Return what our user was refused."""
        return [entry for entry in self._client.acl_log() if entry["username"] == self._user]


class RabbitBroker(Broker):
    """A virtual host of a RabbitMQ server."""

    def __init__(self, kind: str, container: SharedContainer, vhost: str) -> None:
        super().__init__(kind, f"amqp://guest:guest@{container.host}:{container.port}/{vhost}")
        self._container = container
        self._vhost = vhost
        if vhost not in {known["name"] for known in json.loads(self._ctl("list_vhosts", "--formatter=json"))}:
            self._ctl("add_vhost", vhost)
            self._ctl("set_permissions", "--vhost", vhost, "guest", ".*", ".*", ".*")

    def clear(self, queues: Iterable[str]) -> None:
        """Delete the queues."""
        import kombu

        with kombu.Connection(self.url) as connection:
            for queue in queues:
                kombu.Queue(queue)(connection.default_channel).delete()

    def drop_connections(self) -> None:
        """Close every connection to our virtual host."""
        self._ctl("close_all_connections", "--vhost", self._vhost, "a test drops connections")

    def put_raw(self, queue: str, messages: Iterable[bytes]) -> None:
        """Publish bytes as messages' bodies, without any header."""
        import kombu

        with kombu.Connection(self.url) as connection:
            channel: Any = connection.default_channel
            for body in messages:
                channel.basic_publish(channel.prepare_message(body), exchange="", routing_key=queue)

    def _ctl(self, *words: str) -> str:
        return self._container.run("rabbitmqctl", "--silent", *words)


@contextmanager
def provide_broker(kind: str, *, session: str, folder: Path, worker: int) -> Iterator[Broker]:
    """Provide a broker of a kind: `embedded`, or the name of a Redis, Valkey or RabbitMQ image.

    Containers are shared by the test processes of a session, and outlive this block: see `containers`.
    """
    share_folder(folder, session=session)
    if kind == EMBEDDED:
        watch(Kind.STATE, str(folder / f"broker-{worker}"))
        embedded = EmbeddedBroker(state=folder / f"broker-{worker}")
        embedded.start()
        try:
            yield from _closing(EmbeddedRedisBroker(kind, embedded))
        finally:
            embedded.stop()
    elif kind.endswith(SECURE):
        tls = make_certificates(folder / "tls")
        admin_password = hashlib.sha256(session.encode()).hexdigest()  # the same in every process of the run
        container = SharedContainer.start(
            kind.removesuffix(SECURE),
            port=6379,
            log_when_ready="Ready to accept connections",
            session=session,
            folder=folder,
            prepare=lambda new: new.with_volume_mapping(str(tls), "/tls", "ro").with_command(
                ["redis-server", *TLS_OPTIONS, "--requirepass", admin_password]
            ),
            name=kind,
        )
        yield from _closing(
            SecureRedisBroker(
                kind,
                host=container.host,
                port=container.port,
                database=worker,
                admin_password=admin_password,
                ca_file=tls / "ca.pem",
            )
        )
    elif kind.startswith("rabbitmq"):
        container = SharedContainer.start(
            kind, port=5672, log_when_ready="Server startup complete", session=session, folder=folder
        )
        yield RabbitBroker(kind, container, f"test-{worker}")
    else:
        container = SharedContainer.start(
            kind, port=6379, log_when_ready="Ready to accept connections", session=session, folder=folder
        )
        yield from _closing(RedisBroker(kind, f"redis://{container.host}:{container.port}/{worker}"))


def _closing(broker: RedisBroker) -> Iterator[Any]:
    try:
        yield broker
    finally:
        broker.close()
