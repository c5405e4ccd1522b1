"""Ask the broker and the workers, once: a second, most of it waiting for workers that may not exist."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from deploytools.broker.queues import count_unacked, read_queues
from deploytools.broker.reach import is_reachable
from deploytools.fleet import Fleet
from deploytools.inspect.dead import count_dead_letters
from deploytools.inspect.doctor.evidence import AppFacts, Backlog, RedisFacts, RunFacts, WorkerFacts
from deploytools.inspect.snapshot import REPLY_SECONDS, ask_workers
from deploytools.transport.dead import SUFFIX
from deploytools.worker.clock import CLOCK

QUESTIONS = ("stats", "active_queues", "active", "reserved", "scheduled", "registered")
# Of a database shared with a cache: enough to see a misspelt queue, without walking through millions of keys.
MAX_SCANS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """The parts of the evidence that a broker and its workers give."""

    redis: RedisFacts | None = None
    queues: Mapping[str, Backlog] | None = None
    unacked: int | None = None
    dead: Mapping[str, int] | None = None
    workers: tuple[WorkerFacts, ...] | None = None


def ask_broker(app: Celery, facts: AppFacts, fleet: Fleet | None) -> Live:
    """Return what broker and workers say; nothing where the broker does not answer."""
    if facts.broker is None or not is_reachable(facts.broker):
        return Live()
    try:
        names = facts.queue_names or {facts.conf["task_default_queue"], *facts.routes.values()}
        return Live(
            redis=_redis_facts(app, facts, names),
            queues={
                name: Backlog(depth=state.depth, oldest_seconds=state.oldest_seconds)
                for name, state in read_queues(app, sorted(names)).items()
            },
            unacked=count_unacked(app),
            dead=_dead_letters(app, fleet),
            workers=_workers(app, has_clock=fleet is not None),
        )
    except (OperationalError, RedisError, OSError):
        return Live()  # it went away, or does not let us look


def _dead_letters(app: Celery, fleet: Fleet | None) -> Mapping[str, int] | None:
    return count_dead_letters(app, fleet) if fleet else None


def _redis_facts(app: Celery, facts: AppFacts, known: set[str]) -> RedisFacts | None:
    if facts.broker is None or not facts.broker.is_redis:
        return None
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        try:
            info = channel.client.info()
            strays = dict(_strays(channel, known))
        except RedisError:  # an account with the least rights need not be let see this
            return None
    return RedisFacts(address=facts.broker, info=info, strays=strays)


def _strays(channel: Any, known: set[str]) -> Iterator[tuple[str, int]]:
    """Yield lists that hold Celery's messages and are no queue of ours, with their lengths."""
    prefix, cursor = channel.global_keyprefix, 0
    for _ in range(MAX_SCANS):
        cursor, keys = _command(channel, "SCAN", cursor, "COUNT", 1000, "TYPE", "list", "MATCH", f"{prefix}*")
        for key in keys:
            name = key.decode("utf-8", "replace").removeprefix(prefix).partition(channel.sep)[0]
            if name not in known and not name.endswith((SUFFIX, ".stage", ".pidbox")):
                head = _command(channel, "LINDEX", key, -1)
                if head and _is_message(head):
                    yield name, _command(channel, "LLEN", key)
        if int(cursor) == 0:
            return


def _command(channel: Any, *words: Any) -> Any:
    # Not kombu's own client with a key prefix: it knows only the commands that kombu uses.
    return cast(Any, Redis).execute_command(channel.client, *words)


def _is_message(raw: bytes) -> bool:
    try:
        return "task" in json.loads(raw)["headers"]
    except (ValueError, KeyError, TypeError):
        return False


def _workers(app: Celery, *, has_clock: bool) -> tuple[WorkerFacts, ...]:
    answers = ask_workers(app, QUESTIONS)
    offsets = _clock_offsets(app) if has_clock and answers["stats"] else {}
    return tuple(
        _worker(node, stats, {name: answers[name].get(node, []) for name in QUESTIONS[1:]}, offsets.get(node))
        for node, stats in sorted(answers["stats"].items())
    )


def _worker(node: str, stats: dict[str, Any], said: dict[str, list[Any]], offset: float | None) -> WorkerFacts:
    processes = len(stats["pool"].get("processes", ())) or stats["pool"].get("max-concurrency", 1)
    return WorkerFacts(
        node=node,
        queues=tuple(queue["name"] for queue in said["active_queues"]),
        registered=frozenset(line.partition(" ")[0] for line in said["registered"]),
        processes=processes,
        largest=stats.get("autoscaler", {}).get("max", processes),
        prefetch_count=stats["prefetch_count"],
        held=len(said["active"]) + len(said["reserved"]) + len(said["scheduled"]),
        eta_seconds=max((_from_now_seconds(task["eta"]) for task in said["scheduled"]), default=0.0),
        clock_offset_seconds=offset,
        runs={task: _runs(runs) for task, runs in stats.get("first_runs", {}).items()},
        warm_up_failing=stats.get("warm_up", {}).get("failing"),
    )


def _runs(runs: dict[str, dict[str, float]]) -> RunFacts:
    means = {name: part["seconds"] / (part["count"] or 1) for name, part in runs.items()}
    return RunFacts(
        first_count=int(runs["first"]["count"]),
        first_seconds=means["first"],
        later_count=int(runs["later"]["count"]),
        later_seconds=means["later"],
    )


def _from_now_seconds(eta: str) -> float:
    return datetime.fromisoformat(eta).timestamp() - time.time()


def _clock_offsets(app: Celery) -> dict[str, float]:
    """Return node → how far its clock is off ours at least, in seconds; 0 where the answer's way explains it."""
    asked_at, offsets = time.time(), {}

    def hear(reply: dict[str, Any]) -> None:
        heard_at = time.time()
        for node, answer in reply.items():
            if "now" in answer:
                ahead, behind = answer["now"] - heard_at, answer["now"] - asked_at
                offsets[node] = max(ahead, 0.0) + min(behind, 0.0)

    app.control.broadcast(CLOCK, reply=True, timeout=REPLY_SECONDS, callback=hear)
    return offsets
