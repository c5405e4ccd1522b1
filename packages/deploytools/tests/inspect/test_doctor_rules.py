"""Each rule of the doctor: what it finds, and that it finds nothing where nothing is wrong."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from deploytools.broker.address import parse_address
from deploytools.fleet import Fleet, Resources, parse_fleet
from deploytools.inspect.doctor.evidence import (
    STOCK_AUTOSCALER,
    AppFacts,
    Backlog,
    BeatEntry,
    CommandLine,
    DeclaredQueue,
    Evidence,
    RedisFacts,
    TaskFacts,
    WorkerFacts,
)
from deploytools.inspect.doctor.examine import examine
from deploytools.inspect.doctor.rules import RULES

FLEET = """
[fleet]
app = "shop:app"
default_tier = "counter"
[tiers.counter]
queue = "counter"
tasks = ["shop.*"]
start_within_seconds = 1
concurrency = 2
autoscale = { min = 1, max = 4 }
time_limit_seconds = 30
resources = { cpus = 1, memory = "1G" }
"""
LOCAL, REMOTE = parse_address("redis://127.0.0.1:6379/0"), parse_address("rediss://u:secret@redis.example:6379/0")
CONF: Mapping[str, Any] = {
    "accept_content": ["json"],
    "broker_connection_max_retries": None,
    "broker_transport_options": {"socket_timeout": 5, "unacked_restore_interval": 5, "unacked_restore_throttle": 1},
    "broker_use_ssl": None,
    "result_backend": None,
    "task_create_missing_queues": False,
    "task_default_priority": None,
    "task_default_queue": "counter",
    "task_time_limit": 30,
    "worker_autoscaler": "deploytools.worker.autoscaler:Autoscaler",
    "worker_enable_prefetch_count_reduction": False,
    "worker_max_memory_per_child": None,
    "worker_max_tasks_per_child": None,
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": False,
}
TASK = TaskFacts(acks_late=True, reject_on_worker_lost=True, time_limit_seconds=30)
APP = AppFacts(
    name="shop:app",
    conf=CONF,
    shown={"broker_url": "redis://u:**@redis.example:6379/0"},
    broker=LOCAL,
    is_hardened=True,
    queues=(DeclaredQueue(name="counter", exchange="counter", routing_key="counter"),),
    routes={"shop.*": "counter"},
    tasks={"shop.quick": TASK},
    entries=(BeatEntry(name="tick", task="shop.quick", every_seconds=60, queue="counter"),),
)
WORKER_OPTIONS: Mapping[str, Any] = {
    "queues": ["counter"],
    "concurrency": 2,
    "autoscale": (4, 1),
    "max_tasks_per_child": 1000,
    "prefetch_multiplier": 1,
    "time_limit": 30.0,
    "soft_time_limit": 27.0,
}
WORKER = CommandLine(where="worker", program="worker", options=WORKER_OPTIONS)
BEAT = CommandLine(where="beat", program="beat", options={"scheduler": "deploytools.beat.scheduler:Scheduler"})
FLOWER = CommandLine(where="flower", program="flower", environment=frozenset({"FLOWER_BASIC_AUTH"}))
REDIS = RedisFacts(
    address=LOCAL,
    info={
        "maxmemory_policy": "noeviction",
        "maxmemory": 100,
        "used_memory": 10,
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "role": "master",
        "cluster_enabled": 0,
        "redis_version": "7.2.4",
    },
)
NODE = WorkerFacts(
    node="counter@host",
    queues=("counter",),
    registered=frozenset({"shop.quick"}),
    processes=2,
    largest=4,
    prefetch_count=4,
    held=1,
    clock_offset_seconds=0.0,
)


@pytest.fixture
def sound() -> Evidence:
    return Evidence(
        fleet=parse_fleet(FLEET),
        app=APP,
        commands=(WORKER, BEAT, FLOWER),
        redis=REDIS,
        queues={"counter": Backlog(depth=3, oldest_seconds=0.2)},
        unacked=1,
        dead={"counter": 0},
        workers=(NODE,),
    )


def app(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda sound: replace(sound, app=replace(APP, **changes))


def conf(**changes: Any) -> Callable[[Evidence], Evidence]:
    return app(conf={**CONF, **changes})


def stock(options: Mapping[str, Any] | None = None, **changes: Any) -> Callable[[Evidence], Evidence]:
    return app(is_hardened=False, conf={**CONF, "broker_transport_options": options or {}}, **changes)


def task(**changes: Any) -> Mapping[str, TaskFacts]:
    return {"shop.quick": replace(TASK, **changes)}


def worker(**options: Any) -> Callable[[Evidence], Evidence]:
    given = {name: value for name, value in {**WORKER_OPTIONS, **options}.items() if value is not None}
    return lambda sound: replace(sound, commands=(replace(WORKER, options=given),))


def command(line: CommandLine, **changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda sound: replace(sound, commands=(replace(line, **changes),))


def redis(**info: Any) -> Callable[[Evidence], Evidence]:
    return lambda sound: replace(sound, redis=replace(REDIS, info={**REDIS.info, **info}))


def node(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda sound: replace(sound, workers=(replace(NODE, **changes),))


def both(*changes: Callable[[Evidence], Evidence]) -> Callable[[Evidence], Evidence]:
    def change(sound: Evidence) -> Evidence:
        for each in changes:
            sound = each(sound)
        return sound

    return change


def small_memory(sound: Evidence) -> Evidence:
    assert isinstance(sound.fleet, Fleet)
    tier = msgspec.structs.replace(sound.fleet.tiers[0], resources=Resources(cpus=1, memory="200M"))
    return replace(sound, fleet=msgspec.structs.replace(sound.fleet, tiers=(tier,)))


TWO_QUEUES = tuple(DeclaredQueue(name=name, exchange=name, routing_key=name) for name in ("counter", "other"))
FAULTS: dict[str, Callable[[Evidence], Evidence]] = {
    "command-line-refused": command(WORKER, refused="No such option: --quick"),
    "concurrency-ignored": conf(worker_autoscaler=STOCK_AUTOSCALER),
    "fair-redundant": worker(optimization="fair"),
    "heartbeat-off": worker(without_heartbeat=True),
    "events-off": worker(without_heartbeat=True, without_gossip=True),
    "revokes-forgotten": worker(without_mingle=True),
    "multiplier-zero-ignored": worker(prefetch_multiplier=0),
    "autoscale-without-processes": worker(pool="threads"),
    "time-limit-not-applied": worker(pool="threads", autoscale=None),
    "soft-limit-never-reached": worker(soft_time_limit=30.0),
    "children-never-replaced": worker(max_tasks_per_child=None),
    "memory-bound-in-wrong-unit": worker(max_memory_per_child=512),
    "acknowledged-before-run": app(tasks=task(acks_late=False)),
    "lost-process-fails-task": app(tasks=task(reject_on_worker_lost=False)),
    "poison-task-loops": stock(),
    "visibility-shorter-than-tasks": stock({"visibility_timeout": 10}),
    "eta-beyond-visibility": both(stock(), node(eta_seconds=7200.0)),
    "no-time-limit": both(
        lambda sound: replace(sound, fleet=None),
        app(conf={**CONF, "task_time_limit": None}, tasks=task(time_limit_seconds=None)),
        worker(time_limit=None),
    ),
    "prefetch-reserves-more": worker(prefetch_multiplier=4),
    "autoscale-stuck-after-reconnect": conf(worker_enable_prefetch_count_reduction=True),
    "restore-is-slow": stock(),
    "take-is-not-atomic": stock(),
    "malformed-message-stops-workers": stock(),
    "outage-ends-busy-workers": stock(),
    "socket-timeout-missing": conf(broker_transport_options={}),
    "reconnect-gives-up": conf(broker_connection_max_retries=100),
    "results-kept-for-ever": conf(result_backend="redis://localhost", result_expires=None, redis_socket_timeout=5),
    "result-store-blocks-publishers": conf(result_backend="redis://localhost", redis_socket_timeout=120.0),
    "priority-beats-queue": stock(queues=TWO_QUEUES, tasks=task(priority=9)),
    "queues-share-a-binding": app(queues=(*APP.queues, replace(APP.queues[0], name="other"))),
    "misspelt-queues-are-made": conf(task_create_missing_queues=True),
    "route-to-undeclared-queue": app(routes={"shop.*": "conter"}),
    "route-of-no-task": app(routes={"shoop.*": "counter"}),
    "default-queue-undeclared": conf(task_default_queue="celery"),
    "one-worker-for-all": both(app(queues=TWO_QUEUES), worker(queues=None)),
    "messages-in-undeclared-queue": lambda sound: replace(sound, redis=replace(REDIS, strays={"conter": 4})),
    "queue-without-worker": lambda sound: replace(sound, workers=()),
    "worker-of-undeclared-queue": node(queues=("counter", "conter")),
    "beats-side-by-side": lambda sound: replace(sound, commands=(replace(BEAT, options={}),) * 2),
    "beat-inside-worker": worker(beat=True, scheduler="deploytools.beat.scheduler:Scheduler"),
    "beat-state-in-tmp": command(BEAT, options={"schedule": "/tmp/celerybeat-schedule"}),  # noqa: S108
    "pidfile-of-another": command(BEAT, options={"pidfile": "/run/beat.pid"}, pidfile_holder="nginx (12)"),
    "entry-of-unknown-task": app(entries=(replace(APP.entries[0], task="shop.slow"),)),
    "entry-never-expires": app(entries=(replace(APP.entries[0], expires=False),)),
    "entry-to-undeclared-queue": app(entries=(replace(APP.entries[0], queue="conter"),)),
    "pickle-accepted": conf(accept_content=["json", "pickle"]),
    "root-forced": command(WORKER, environment=frozenset({"C_FORCE_ROOT"})),
    "password-on-command-line": command(WORKER, secrets=("redis://…@",)),
    "certificate-unchecked": app(broker=REMOTE),
    "broker-without-password": app(broker=parse_address("redis://redis.example:6379/0")),
    "broker-in-plain-text": app(broker=parse_address("redis://u:secret@redis.example:6379/0")),
    "password-shown": app(shown={"redbeat_redis_url": "redis://u:secret@redis.example/0"}),
    "flower-without-password": command(FLOWER, environment=frozenset()),
    "shell-above-celery": command(WORKER, shell="sh -c 'celery worker; echo over'"),  # noqa: S604
    "queues-can-be-evicted": redis(maxmemory_policy="allkeys-lru"),
    "keys-were-evicted": redis(evicted_keys=4),
    "memory-without-bound": lambda sound: replace(
        sound, redis=RedisFacts(address=REMOTE, info={**REDIS.info, "maxmemory": 0})
    ),
    "memory-nearly-full": redis(used_memory=90),
    "queues-not-persisted": redis(aof_enabled=0),
    "persistence-fails": redis(aof_last_write_status="err"),
    "broker-is-a-replica": redis(role="slave"),
    "broker-is-a-cluster": redis(cluster_enabled=1),
    "server-too-old": redis(redis_version="6.2.1"),
    "tasks-not-registered": node(registered=frozenset()),
    "prefetch-below-pool": node(prefetch_count=2),
    "worker-hoards": node(prefetch_count=612),
    "clock-is-off": node(clock_offset_seconds=-16.0),
    "messages-held-by-nobody": node(held=0),
    "promise-broken-now": lambda sound: replace(sound, queues={"counter": Backlog(depth=1, oldest_seconds=3.0)}),
    "dead-letters-wait": lambda sound: replace(sound, dead={"counter": 2}),
    "memory-too-small-for-pool": small_memory,
}


def test_every_rule_has_a_fault_and_there_are_forty_at_least() -> None:
    assert sorted(FAULTS) == sorted(rule.id for rule in RULES)
    assert len(RULES) >= 40


def test_nothing_is_found_where_nothing_is_wrong(sound: Evidence) -> None:
    examination = examine(sound)

    assert examination.findings == ()
    assert examination.skipped == {}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_place_and_its_proof(name: str, sound: Evidence) -> None:
    found = [finding for finding in examine(FAULTS[name](sound)).findings if finding.rule == name]

    assert found
    assert all(finding.where and finding.proof and finding.fix and finding.consequence for finding in found)
    assert "secret" not in str(found)


def test_what_cannot_be_seen_is_skipped_and_not_guessed() -> None:
    examination = examine(Evidence(app=APP))

    assert examination.findings == ()
    assert "dead-letters-wait" in examination.skipped["dead letters, which only a fleet's broker has"]
