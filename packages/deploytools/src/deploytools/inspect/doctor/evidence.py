"""What rules read: frozen values, gathered once. A part that could not be gathered is None, and no rule guesses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploytools.broker.address import BrokerAddress
from deploytools.fleet import Fleet

# What Celery takes where nobody says otherwise (celery/app/defaults.py, kombu/transport/redis.py; 5.7).
STOCK_AUTOSCALER = "celery.worker.autoscale:Autoscaler"
STOCK_VISIBILITY_SECONDS = 3600.0

# What is needed, in the words of those who have to provide it.
PARTS = {
    "fleet": "a fleet file",
    "app": "the Celery application (`-A module:app`)",
    "commands": "a Celery process on this host, or `--command`",
    "redis": "a Redis broker that answers",
    "queues": "a broker that answers",
    "workers": "a worker that answers",
    "unacked": "a Redis broker that answers",
    "dead": "dead letters, which only a fleet's broker has",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFacts:
    """What a registered task says of itself, Celery's settings already applied."""

    acks_late: bool
    reject_on_worker_lost: bool = False
    time_limit_seconds: float | None = None
    ignore_result: bool = True
    priority: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredQueue:
    """A queue as the application declares it."""

    name: str
    exchange: str
    routing_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BeatEntry:
    """An entry of the schedule. `every_seconds` is None where it is less often than hourly, or not to be known."""

    name: str
    task: str
    every_seconds: float | None = None
    expires: bool = True
    queue: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AppFacts:
    """A Celery application: all settings, and `shown`, those that `celery report` and Flower print, as they do.

    `queues` are the declared ones (`task_queues`), `routes` maps patterns of task names to queues.
    """

    name: str
    conf: Mapping[str, Any]
    shown: Mapping[str, Any]
    broker: BrokerAddress | None
    is_hardened: bool
    queues: tuple[DeclaredQueue, ...]
    routes: Mapping[str, str]
    tasks: Mapping[str, TaskFacts]
    entries: tuple[BeatEntry, ...]

    @property
    def on_stock_redis(self) -> bool:
        """Whether kombu's own Redis transport moves the messages."""
        return self.broker is not None and self.broker.is_redis and not self.is_hardened

    @property
    def queue_names(self) -> set[str]:
        """Names of the declared queues."""
        return {queue.name for queue in self.queues}

    @property
    def own_tasks(self) -> dict[str, TaskFacts]:
        """The tasks that are neither Celery's nor the toolkit's."""
        return {name: task for name, task in self.tasks.items() if not name.startswith(("celery.", "deploytools."))}

    @property
    def transport_options(self) -> Mapping[str, Any]:
        """What kombu's transport is told."""
        return self.conf.get("broker_transport_options") or {}

    @property
    def visibility_seconds(self) -> float:
        """When Redis hands a message that was not acknowledged to somebody else."""
        return float(self.transport_options.get("visibility_timeout") or STOCK_VISIBILITY_SECONDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine:
    """A command line of Celery, parsed by Celery's own parser: `options` holds what is given, by Celery's names.

    `refused` is that parser's complaint. What only a live process has, is None or empty for one that was written down.
    """

    where: str
    program: str
    options: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    shell: str | None = None
    secrets: tuple[str, ...] = ()
    environment: frozenset[str] = frozenset()
    is_root: bool = False
    pidfile_holder: str | None = None

    @property
    def pool(self) -> str:
        """The kind of pool; Celery's default where none is named."""
        return str(self.options.get("pool", "prefork"))

    @property
    def has_beat(self) -> bool:
        """Whether it sends the schedule's tasks."""
        return self.program == "beat" or bool(self.options.get("beat"))


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisFacts:
    """What a Redis says of itself (INFO), and lists with messages that the application does not declare: `strays`."""

    address: BrokerAddress
    info: Mapping[str, Any]
    strays: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits in a queue. `oldest_seconds` is None where publishers do not stamp their messages."""

    depth: int
    oldest_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """How often a task ran in a worker, and how long on average: first runs in a pool process, and later ones."""

    first_count: int = 0
    first_seconds: float = 0.0
    later_count: int = 0
    later_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFacts:
    """A worker that answered. `largest` is the most processes it may have; `eta_seconds` its furthest ETA from now.

    `clock_offset_seconds`: how far its clock is off ours at least; None where it cannot be asked. `warm_up_failing`:
    why its last process did not become warm, until one does.
    """

    node: str
    queues: tuple[str, ...]
    registered: frozenset[str]
    processes: int
    largest: int
    prefetch_count: int
    held: int = 0
    eta_seconds: float = 0.0
    clock_offset_seconds: float | None = None
    runs: Mapping[str, RunFacts] = field(default_factory=dict)
    warm_up_failing: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that was gathered."""

    fleet: Fleet | None = None
    app: AppFacts | None = None
    commands: tuple[CommandLine, ...] | None = None
    redis: RedisFacts | None = None
    queues: Mapping[str, Backlog] | None = None
    unacked: int | None = None
    dead: Mapping[str, int] | None = None
    workers: tuple[WorkerFacts, ...] | None = None

    def has(self, part: str) -> bool:
        """Say whether a part is there. No worker that answers, or no process, is as good as none."""
        value = getattr(self, part)
        return value is not None and not (part in {"workers", "commands"} and not value)
