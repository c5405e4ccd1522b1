"""A fleet for a benchmark: a broker and a state folder of its own, workers, and load from this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from celery import Celery

from deploytools.app import load_app
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.commands import worker_command
from deploytools.fleet import Fleet, Tier
from deploytools.load.histogram import histogram, quantile_seconds
from deploytools.load.profile import Profile, Shape, tightest_tier
from deploytools.load.samples import Sample
from deploytools.load.session import LoadSession
from deploytools.load.workload import Workload, load_workload_provider
from deploytools.project import Project
from deploytools.settings import current_project, environment_with, use_environment
from deploytools.testing.processes import Running, running

START_DEADLINE_SECONDS = 60.0  # a start takes two seconds; beside saturated tiers several times that
DRAIN_SECONDS = 60.0
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A project with a state folder of its own, and the variables that lead processes to its broker."""

    project: Project
    folder: Path
    environment: Mapping[str, str]


@contextmanager
def temporary_place(name: str) -> Iterator[Place]:
    """Start a broker in a temporary folder; stop it and remove the folder at the end."""
    with TemporaryDirectory(prefix=f"{name}-") as folder:
        project = replace(current_project(), state=Path(folder) / "state")
        broker = EmbeddedBroker(state=project.state)
        environment = {
            "CELERY_BROKER_URL": broker.address.url,
            "DEPLOYTOOLS_FLEET": str(project.fleet_path),
            "DEPLOYTOOLS_STATE": str(project.state),
        }
        try:
            broker.start()
            yield Place(project=project, folder=Path(folder), environment=environment)
        finally:
            broker.stop()


@contextmanager
def ready_workers(
    commands: Mapping[str, Sequence[str]], *, folder: Path, env: Mapping[str, str], own_session: bool = True
) -> Iterator[list[Running]]:
    """Start workers (name → command line) at once, and wait until all are ready; stop them at the end."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(running(argv, log_path=folder / f"{name}.log", env=env, own_session=own_session))
            for name, argv in commands.items()
        ]
        for worker in workers:
            worker.wait_for_log(" ready.", deadline_seconds=START_DEADLINE_SECONDS)
        yield workers
        for worker in workers:
            worker.stop()


@contextmanager
def spawned(work: Callable[..., None], *arguments: object) -> Iterator[SpawnProcess]:
    """Run a function in a process of its own, which imports everything anew; end it at the end of the block."""
    process = get_context("spawn").Process(target=work, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A fleet whose application this process has imported. Logs of workers are in `folder`."""

    app: Celery
    fleet: Fleet
    folder: Path
    workload: Workload

    @classmethod
    def of(cls, project: Project, folder: Path) -> "Bench":
        """Import a project's application, and prepare its workload."""
        fleet = project.fleet()
        app = load_app(project, fleet)
        return cls(app=app, fleet=fleet, folder=folder, workload=load_workload_provider(fleet).prepare())

    @property
    def high(self) -> Tier:
        """The tier with the tightest promise."""
        return tightest_tier(self.fleet)

    @property
    def lower(self) -> list[Tier]:
        """The other tiers."""
        return [tier for tier in self.fleet if tier.name != self.high.name]

    def command(self, tier: Tier) -> tuple[str, ...]:
        """Return our command line of a tier's worker."""
        return worker_command(self.fleet, tier, log_level="info", node="bench").argv

    def workers(self, commands: Mapping[str, Sequence[str]]) -> AbstractContextManager[list[Running]]:
        """Run workers, ready, in this session, so that tiers step back for each other; stop them at the end."""
        return ready_workers(commands, folder=self.folder, env=environment_with(), own_session=False)

    def own_tasks(self, count: int) -> Workload:
        """Return the application's own tasks of the highest tier, with arguments for `count` tasks made now."""
        random = Random(1)
        offers = self.workload.of_tier(self.fleet, self.high)
        return Workload(
            offers=tuple(
                replace(offer, make_arguments=_given([offer.make_arguments(random) for _ in range(count)]))
                for offer in offers
            )
        )

    def send(self, workload: Workload, shape: Shape, count: int) -> list[Sample]:
        """Send tasks to the highest tier and wait until all are done; return them in the order they were sent."""
        session = LoadSession(
            app=self.app,
            fleet=self.fleet,
            profile=Profile(name="bench", tightest=shape, others=shape, seconds=0, drain_seconds=DRAIN_SECONDS),
            workload=workload,
            on_publish=lambda *_: session.stop_sending() if len(session.account.samples) >= count else None,
        )
        session.start()
        session.offer(self.high, seed=1)
        session.drain()
        if missing := session.account.outstanding():
            raise TimeoutError(f"{missing} of {count} tasks were not done: see {self.folder}")
        return list(session.account.samples.values())


@contextmanager
def temporary_bench(name: str) -> Iterator[Bench]:
    """Prepare a bench in a temporary place, which this process's environment then names."""
    with temporary_place(name) as place:
        use_environment(**place.environment)
        yield Bench.of(current_project(), place.folder)


def p99_wait_ms(samples: Sequence[Sample]) -> float:
    """Return the p99 queue wait in milliseconds, from when the schedule wanted a task sent to its start."""
    return (quantile_seconds(histogram(sample.wait_seconds or 0.0 for sample in samples), 99) or 0.0) * 1000


def pss_mebibytes(workers: Sequence[Running]) -> tuple[float, int]:
    """Return the PSS of workers with their pool processes, and the number of all these processes."""
    tree = [each for worker in workers for each in (psutil.Process(worker.pid), *worker.children())]
    return sum(each.memory_full_info().pss for each in tree) / MEBIBYTE, len(tree)


def _given(made: list[tuple[Any, ...]]) -> Any:
    """Return a maker of arguments that gives those made before, one after another."""
    left = iter(made)
    return lambda _: next(left)
