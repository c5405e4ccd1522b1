"""What runs now, by tier: workers, processes, tasks, and what waits in the broker."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from celery import Celery

from deploytools.broker.queues import QueueState, count_unacked, read_queues
from deploytools.fleet import Fleet, Tier

# Workers answer within milliseconds; nobody can know how many will, so each question waits this long.
REPLY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """One worker: its node name, queues, pool and tasks; `size_reason` is why the pool has this size."""

    node: str
    pid: int
    queues: tuple[str, ...]
    processes: int
    largest: int
    prefetch_count: int
    active: tuple[str, ...]
    reserved: int
    tasks_run: int
    max_rss_kib: int
    size_reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TierState:
    """One tier: what waits for it, and who works on it."""

    name: str
    promise_seconds: float
    queue: QueueState
    workers: tuple[WorkerState, ...]

    @property
    def processes(self) -> int:
        """Processes of all workers of the tier."""
        return sum(worker.processes for worker in self.workers)

    @property
    def busy(self) -> int:
        """Tasks that run now."""
        return sum(len(worker.active) for worker in self.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The fleet at one moment. `unacked` counts messages taken and not acknowledged, of all tiers."""

    tiers: tuple[TierState, ...]
    unacked: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as plain data."""
        return {
            "tiers": {
                tier.name: {**asdict(tier), "processes": tier.processes, "busy": tier.busy} for tier in self.tiers
            },
            "unacked": self.unacked,
        }


def take_snapshot(app: Celery, fleet: Fleet) -> Snapshot:
    """Ask broker and workers; takes about a second. Workers that do not answer in that time are not in it."""
    queues = read_queues(app, [tier.queue for tier in fleet])
    workers = _worker_states(app)
    return Snapshot(
        tiers=tuple(_tier_state(tier, queues[tier.queue], workers) for tier in fleet),
        unacked=count_unacked(app),
    )


def worker_names(app: Celery) -> dict[str, list[str]]:
    """Return queue → nodes that consume it."""
    consumers: dict[str, list[str]] = {}
    for node, queues in (app.control.inspect(timeout=REPLY_SECONDS).active_queues() or {}).items():
        for queue in queues:
            consumers.setdefault(queue["name"], []).append(node)
    return consumers


def _tier_state(tier: Tier, queue: QueueState, workers: tuple[WorkerState, ...]) -> TierState:
    return TierState(
        name=tier.name,
        promise_seconds=tier.start_within_seconds,
        queue=queue,
        workers=tuple(worker for worker in workers if tier.queue in worker.queues),
    )


def ask_workers(app: Celery, questions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Ask all workers some of `inspect`'s questions at once; return question → node → answer."""
    with ThreadPoolExecutor(max_workers=len(questions)) as threads:
        return dict(zip(questions, threads.map(lambda question: _ask(app, question), questions), strict=True))


def _worker_states(app: Celery) -> tuple[WorkerState, ...]:
    questions = ("stats", "active_queues", "active", "reserved")
    answers = ask_workers(app, questions)
    return tuple(
        _worker_state(node, stats, **{name: answers[name].get(node, []) for name in questions[1:]})
        for node, stats in sorted(answers["stats"].items())
    )


def _ask(app: Celery, question: str) -> dict[str, Any]:
    return getattr(app.control.inspect(timeout=REPLY_SECONDS), question)() or {}


def _worker_state(
    node: str,
    stats: dict[str, Any],
    *,
    active_queues: list[dict[str, Any]],
    active: list[dict[str, Any]],
    reserved: list[dict[str, Any]],
) -> WorkerState:
    processes = len(stats["pool"].get("processes", ())) or stats["pool"].get("max-concurrency", 1)
    return WorkerState(
        node=node,
        pid=stats["pid"],
        queues=tuple(queue["name"] for queue in active_queues),
        processes=processes,
        largest=stats.get("autoscaler", {}).get("max", processes),
        prefetch_count=stats["prefetch_count"],
        active=tuple(task["name"] for task in active),
        reserved=len(reserved),
        tasks_run=sum(stats.get("total", {}).values()),
        max_rss_kib=stats.get("rusage", {}).get("maxrss", 0),
        size_reason=stats.get("autoscaler", {}).get("reason", "a pool of fixed size"),
    )
