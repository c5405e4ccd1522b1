"""One HTTP endpoint a process: `/metrics`, `/live`, `/ready`.

On loopback and a free port unless told otherwise; then a file below the project's state folder tells Prometheus where
(file_sd). With a port of its own (CELERY_METRICS_PORT, a container) nothing is written.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from deploytools.errors import SettingError

TARGETS_FOLDER = "metrics"


class Health(Protocol):
    """What an endpoint says of its process."""

    def is_live(self) -> bool:
        """Say whether the process works at all. The broker has no part in it."""

    def is_ready(self) -> bool:
        """Say whether it does its work now."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A listening server; `close` ends it."""

    host: str
    port: int
    close: Callable[[], None]

    @property
    def address(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Server6(ThreadingHTTPServer):
    """Listens on an address of IPv6."""

    address_family = socket.AF_INET6


def serve(
    collectors: list[Collector],
    health: Health,
    *,
    host: str,
    port: int,
    labels: Mapping[str, str],
    state: Path | None,
) -> Endpoint:
    """Listen, in threads that end with the process; raise SettingError if the address cannot be had.

    `port` 0: any that is free; `state`: the folder of the project, where to write which.
    """
    registry = CollectorRegistry()
    for collector in (*collectors, ProcessCollector(registry=None), PlatformCollector(registry=None)):
        registry.register(collector)
    GCCollector(registry)
    try:
        server = (Server6 if ":" in host else ThreadingHTTPServer)((host, port), _handler(registry, health))
    except OSError as error:
        raise SettingError(
            f"CELERY_METRICS_HOST={host}, CELERY_METRICS_PORT={port}: {error.strerror}: choose another, or unset it"
        ) from None
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    found = Endpoint(host=host, port=server.server_port, close=server.shutdown)
    target = _announce(found, labels, state / TARGETS_FOLDER) if state else None

    def close() -> None:
        server.shutdown()
        server.server_close()
        if target:
            target.unlink(missing_ok=True)

    return Endpoint(host=host, port=server.server_port, close=close)


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._send(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                case "/live":
                    self._answer(health.is_live())
                case "/ready":
                    self._answer(health.is_ready())
                case _:
                    self._send(404, b"/metrics /live /ready\n", "text/plain")

        def _answer(self, is_good: bool) -> None:
            self._send(200 if is_good else 503, b"yes\n" if is_good else b"no\n", "text/plain")

        def _send(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler


def _announce(endpoint: Endpoint, labels: Mapping[str, str], folder: Path) -> Path | None:
    """Write a target file for Prometheus, and remove those of processes that are gone."""
    target = folder / f"{os.getpid()}.json"
    with suppress(OSError):  # a read-only folder: whoever scrapes has to know the port
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.glob("*.json"):
            if not Path("/proc", other.stem).exists() and Path("/proc").exists():
                other.unlink(missing_ok=True)
        part = target.with_suffix(".part")
        part.write_text(json.dumps([{"targets": [endpoint.address], "labels": dict(labels)}]))
        part.rename(target)
        return target
    return None
