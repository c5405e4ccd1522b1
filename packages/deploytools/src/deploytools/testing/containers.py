"""Containers shared by all test processes of one pytest run, and removed at its end.

The first process that needs an image starts it; the process that began the run removes all that carry its label. After
a run that was killed a reaper does so; the next run removes what a reaper that was killed as well has left.
"""

import fcntl
import gc
import json
import warnings
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploytools.testing.identity import is_alive
from deploytools.testing.reaper import Kind, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcontainers.core.container import DockerContainer

SESSION_LABEL = "deploytools.testing.session"
START_DEADLINE_SECONDS = 90  # RabbitMQ on two busy cores


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedContainer:
    """A running container, and the address of its one exposed port on this host."""

    id: str
    host: str
    port: int

    @classmethod
    def start(
        cls,
        image: str,
        *,
        port: int,
        log_when_ready: str,
        session: str,
        folder: Path,
        prepare: "Callable[[DockerContainer], object]" = lambda _: None,
        name: str | None = None,
    ) -> "SharedContainer":
        """Start an image unless another process of the session has; wait until it is ready.

        `prepare` may change how it is started, and `name` is then what tells it from others of that image.
        """
        share_folder(folder, session=session)
        record = folder / f"{(name or image).replace('/', '-')}.json"
        with record.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not record.exists():
                container = _start(image, port=port, log_when_ready=log_when_ready, session=session, prepare=prepare)
                record.write_text(json.dumps(asdict(container)))
        return cls(**json.loads(record.read_text()))

    def run(self, *argv: str) -> str:
        """Run a program in it; return its output."""
        code, output = _engine().containers.get(self.id).exec_run(list(argv))
        text: str = output.decode()
        if code:
            raise RuntimeError(f"{' '.join(argv)}: exit code {code}: {text}")
        return text


def share_folder(folder: Path, *, session: str) -> None:
    """Make the folder of a run; it is removed after the run, with the run's containers, however the run ends."""
    folder.mkdir(mode=0o700, exist_ok=True)
    watch(Kind.RUN, session, str(folder))


@cache
def engine_is_there() -> bool:
    """Say whether a container engine answers."""
    with warnings.catch_warnings():
        # docker's client leaves open what did not connect: found later, it would be the fault of some test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            found = bool(_engine().ping())
        except Exception:  # noqa: BLE001 — not installed, not running, not allowed: each has an exception of its own
            found = False
        gc.collect()
    return found


def remove_containers(session: str) -> None:
    """Remove the containers of a session, and those of sessions whose process is gone."""
    for container in _engine().containers.list(all=True, filters={"label": SESSION_LABEL}):
        owner = container.labels[SESSION_LABEL]
        if owner == session or not is_alive(owner):
            container.remove(force=True, v=True)


def _start(
    image: str, *, port: int, log_when_ready: str, session: str, prepare: "Callable[[DockerContainer], object]"
) -> SharedContainer:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    # Its reaper would be one more image to pull; the label does that job.
    testcontainers_config.ryuk_disabled = True
    ready = LogMessageWaitStrategy(log_when_ready).with_startup_timeout(START_DEADLINE_SECONDS)
    container = DockerContainer(image, labels={SESSION_LABEL: session}).with_exposed_ports(port).waiting_for(ready)
    prepare(container)
    container.start()
    return SharedContainer(
        id=container.get_wrapped_container().id,
        host=container.get_container_host_ip(),
        port=int(container.get_exposed_port(port)),
    )


def _engine() -> Any:
    import docker

    return docker.from_env()
