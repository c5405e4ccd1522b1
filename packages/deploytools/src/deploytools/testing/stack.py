"""A compose deployment under test: the project's own compose file, with secrets, volumes and ports of the test's."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from celery import Celery

from deploytools.broker.address import parse_address
from deploytools.deploy.docker import Docker
from deploytools.deploy.secrets import init_secrets
from deploytools.fleet import Fleet
from deploytools.project import Project
from deploytools.publish import send_many
from deploytools.render import compose, prometheus
from deploytools.testing.reaper import Kind, forget, watch
from deploytools.testing.waiting import wait_until
from deploytools.worker import install
from deploytools.worker.completion_reports import PROBE_QUEUE


@contextmanager
def built(root: Path, name: str) -> Iterator[str]:
    """Build a project's image; it goes at the end of the block, its layers stay, so that the next time is quick."""
    engine = Docker(project=())
    engine.docker("build", "--quiet", "--target", "fleet", "--tag", name, str(root))
    try:
        yield name
    finally:
        engine.docker("image", "rm", name)


@dataclass(kw_only=True)
class Stack:
    """A project of `docker compose`, which goes with its volumes at the end of the `with` block."""

    root: Path  # a project folder of the test's own, with a compose file
    fleet: Fleet
    image: str
    name: str = field(default_factory=lambda: f"fleet-test-{uuid4().hex[:12]}")

    @classmethod
    def of(cls, project: Project, *, folder: Path, image: str) -> "Stack":
        """Return one of a project, whose compose file and fleet file are copied to a folder."""
        (folder / compose.FOLDER).mkdir(parents=True)
        shutil.copy(project.root / compose.FILE, folder / compose.FILE)
        shutil.copy(project.fleet_path, folder / "fleet.toml")
        if (project.root / prometheus.FOLDER).is_dir():
            shutil.copytree(project.root / prometheus.FOLDER, folder / prometheus.FOLDER)
        return cls(root=folder, fleet=project.fleet(), image=image)

    def __enter__(self) -> "Stack":
        watch(Kind.COMPOSE, self.name)
        init_secrets(self.secrets, self.fleet)
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "5")
        forget(Kind.COMPOSE, self.name)

    @property
    def secrets(self) -> Path:
        """The folder of its passwords."""
        return self.root / compose.SECRETS_FOLDER

    @property
    def variables(self) -> dict[str, str]:
        """What makes any `docker compose` on its file mean this very project."""
        ports = dict.fromkeys(("BROKER_PORT", "FLOWER_PORT", "PROMETHEUS_PORT", "LOCUST_PORT"), "0")
        return {**ports, "COMPOSE_PROJECT_NAME": self.name, "FLEET_IMAGE": self.image}

    @property
    def engine(self) -> Docker:
        """The engine it runs on."""
        return Docker(project=("--file", str(self.root / compose.FILE)), variables=self.variables)

    def compose(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker compose` on it; return what it prints."""
        return self.engine.compose(*words, stdin=stdin)

    def up(self) -> None:
        """Start it; wait until all is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait")

    def containers(self) -> list[dict[str, Any]]:
        """Return what the engine knows of each container."""
        return self.engine.inspect(self.engine.containers())

    def address(self, service: str, port: int) -> str:
        """Return where a service's port is on this host."""
        return self.compose("port", service, str(port)).strip()

    @property
    def broker_url(self) -> str:
        """Return the broker's URL as a publisher outside would write it; the password is in `password_file`."""
        return f"redis://fleet@{self.address('broker', 6379)}/0"

    @property
    def password_file(self) -> Path:
        """Where the broker's password is."""
        return self.secrets / "broker_password"


@dataclass(kw_only=True)
class ExternalPublisher:
    """A publisher outside the stack, and the account of what became of its tasks, kept in the broker itself."""

    stack: Stack
    url: str
    reports: str = field(default_factory=lambda: f"deploytools.test.{uuid4().hex}")
    sent: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, stack: Stack) -> "ExternalPublisher":
        """Return one for a stack that runs; its broker's port changes when it is started again."""
        return cls(stack=stack, url="").again()

    def again(self) -> "ExternalPublisher":
        """Find the broker anew."""
        address = parse_address(self.stack.broker_url).with_password(self.stack.password_file.read_text().strip())
        for cached in ("app", "client"):
            self.__dict__.pop(cached, None)
        self.url = address.url
        return self

    @cached_property
    def app(self) -> Celery:
        """The application as publishers see it."""
        return install(Celery("outside", broker=self.url), self.stack.fleet)

    @cached_property
    def client(self) -> Any:
        """A client of the broker."""
        return redis.Redis.from_url(self.url)

    def send(self, task: str, arguments: Iterable[tuple[Any, ...]], **options: Any) -> list[str]:
        """Publish tasks; each will report its end."""
        ids = send_many(self.app, task, arguments, headers={PROBE_QUEUE: self.reports}, **options)
        self.sent += ids
        return ids

    def ended(self) -> dict[str, list[dict[str, Any]]]:
        """Return task id → a report for each time it ran to its end; see `deploytools.worker.completion_reports`."""
        ended: dict[str, list[dict[str, Any]]] = {}
        for raw in self.client.lrange(self.reports, 0, -1):
            report = json.loads(json.loads(raw)["body"])
            ended.setdefault(report["id"], []).append(report)
        return ended

    def _is_all_over(self) -> bool:
        missing = set(self.sent) - self.ended().keys()
        waiting = {queue.name: self.client.llen(queue.name) for queue in self.stack.fleet.queues()}
        assert not missing, f"{len(missing)} of {len(self.sent)} missing, {waiting} waiting"
        return True

    def expect_nothing_lost(self, *, deadline_seconds: float) -> dict[str, list[dict[str, Any]]]:
        """Wait until every task that was sent has ended well; return the reports of each."""
        wait_until(self._is_all_over, "all to end", deadline_seconds=deadline_seconds, poll_seconds=0.5)
        ended = self.ended()
        bad = [report for reports in ended.values() for report in reports if report["state"] != "SUCCESS"]
        assert not bad, bad
        return ended
