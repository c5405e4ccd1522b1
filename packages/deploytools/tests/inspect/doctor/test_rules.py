"""Each rule finds its mistake in an otherwise healthy deployment, and a healthy deployment has none."""

from dataclasses import replace
from typing import Any

import pytest

from deploytools.broker.address import parse_address
from deploytools.errors import SettingError
from deploytools.fleet import Autoscale, Fleet, Tier
from deploytools.inspect.doctor.argv import parse_command
from deploytools.inspect.doctor.evidence import (
    STOCK_AUTOSCALER,
    AppFacts,
    Backlog,
    BeatEntry,
    DeclaredQueue,
    Evidence,
    RedisFacts,
    RunFacts,
    TaskFacts,
    WorkerFacts,
)
from deploytools.inspect.doctor.examine import examine
from deploytools.inspect.doctor.rules import RULES

TIER = Tier(
    name="quick",
    queue="quick",
    tasks=("shop.*",),
    start_within_seconds=5,
    concurrency=2,
    autoscale=Autoscale(min=1, max=4),
    time_limit_seconds=30,
)
FLEET = Fleet(app="shop:app", default_tier="quick", tiers=(TIER,))
LOCAL = parse_address("redis://127.0.0.1:6379/0")
TASK = TaskFacts(acks_late=True, reject_on_worker_lost=True)
CONF = {
    "accept_content": ["json"],
    "beat_scheduler": "celery.beat:PersistentScheduler",
    "broker_connection_max_retries": None,
    "broker_transport_options": {"socket_timeout": 5, "priority_steps": [0]},
    "result_expires": 3600,
    "task_acks_late": True,
    "task_create_missing_queues": False,
    "task_default_queue": "quick",
    "worker_autoscaler": "deploytools.worker.autoscaler:Autoscaler",
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "worker_enable_prefetch_count_reduction": False,
    "worker_max_memory_per_child": None,
    "worker_max_tasks_per_child": None,
    "worker_prefetch_multiplier": 4,
    "worker_send_task_events": False,
}
APP = AppFacts(
    name="shop:app",
    conf=CONF,
    shown={"broker_url": "redis://fleet:**@10.0.0.1:6379/0"},
    broker=LOCAL,
    is_hardened=True,
    queues=(DeclaredQueue(name="quick", exchange="quick", routing_key="quick"),),
    routes={"shop.*": "quick"},
    tasks={"shop.buy": TASK},
    entries=(BeatEntry(name="tick", task="shop.buy", every_seconds=60),),
)
WORKER = (
    "celery -A shop:app worker --queues=quick --hostname=quick@%h --prefetch-multiplier=1 --max-tasks-per-child=1000"
    " --time-limit=30 --soft-time-limit=27"
)
BEAT = "celery -A shop:app beat --scheduler=deploytools.beat.scheduler:Scheduler --pidfile="
ANSWER = WorkerFacts(
    node="quick@here",
    queues=("quick",),
    registered=frozenset({"shop.buy"}),
    processes=2,
    largest=4,
    prefetch_count=4,
    clock_offset_seconds=0.0,
)
INFO = {"maxmemory": 2**30, "maxmemory_policy": "noeviction", "aof_enabled": 1, "role": "master", "redis_version": "8"}
HEALTHY = Evidence(
    fleet=FLEET,
    app=APP,
    commands=(parse_command(WORKER, "worker"), parse_command(BEAT, "beat")),
    redis=RedisFacts(address=LOCAL, info=INFO),
    queues={"quick": Backlog(depth=0)},
    unacked=0,
    dead={"quick": 0},
    workers=(ANSWER,),
)


def cold(*, first_seconds: float, **changes: Any) -> RunFacts:
    """Runs of a task whose promise is 5 s."""
    return replace(RunFacts(first_count=4, first_seconds=first_seconds, later_count=90, later_seconds=0.05), **changes)


def app(**changes: Any) -> Evidence:
    return replace(HEALTHY, app=replace(APP, **changes))


def conf(*, evidence: Evidence = HEALTHY, **settings: Any) -> Evidence:
    assert evidence.app
    return replace(evidence, app=replace(evidence.app, conf={**evidence.app.conf, **settings}))


def stock(**changes: Any) -> Evidence:
    """A deployment on kombu's transport, whose tasks are retried when their process dies."""
    return conf(evidence=app(is_hardened=False, **changes), task_retry_on_worker_lost=True)


def lines(*texts: str, evidence: Evidence = HEALTHY, **known: Any) -> Evidence:
    commands = tuple(replace(parse_command(text, f"command {number}"), **known) for number, text in enumerate(texts))
    return replace(evidence, commands=commands)


def flags(text: str, without: str = "", **options: Any) -> Evidence:
    return lines(f"{WORKER.replace(without, '') if without else WORKER} {text}", **options)


def info(**told: Any) -> Evidence:
    return replace(HEALTHY, redis=RedisFacts(address=LOCAL, info={**INFO, **told}))


def answer(**changes: Any) -> Evidence:
    return replace(HEALTHY, workers=(replace(ANSWER, **changes),))


def tier(**changes: Any) -> Evidence:
    values = {name: getattr(TIER, name) for name in TIER.__struct_fields__} | changes
    return replace(HEALTHY, fleet=Fleet(app="shop:app", default_tier="quick", tiers=(Tier(**values),)))


def broker(url: str) -> Evidence:
    return app(broker=parse_address(url))


EARLY = {"shop.buy": TaskFacts(acks_late=False)}
SHARED = tuple(DeclaredQueue(name=name, exchange="celery", routing_key="celery") for name in ("quick", "slow"))
BOTH = tuple(DeclaredQueue(name=name, exchange=name, routing_key=name) for name in ("quick", "slow"))
RESULTS: dict[str, Any] = {"result_backend": "redis://127.0.0.1/1"}
READ = {"shop.buy": replace(TASK, ignore_result=False)}

# What is found besides the rule itself is found rightly: the same mistake has more than one consequence.
CASES: dict[str, tuple[Evidence, set[str]]] = {
    "command-line-refused": (lines("celery worker -A shop:app", BEAT), set()),
    "concurrency-ignored": (
        conf(evidence=flags("--autoscale=8,2 -c 4"), worker_autoscaler=STOCK_AUTOSCALER),
        set(),
    ),
    "fair-redundant": (flags("-O fair"), set()),
    "heartbeat-off": (flags("--without-heartbeat"), set()),
    "events-off": (flags("--without-heartbeat --without-gossip"), {"heartbeat-off"}),
    "revokes-forgotten": (flags("--without-mingle"), set()),
    "multiplier-zero-ignored": (flags("--prefetch-multiplier=0"), {"tasks-hoarded"}),
    "autoscale-without-processes": (flags("-P threads --autoscale=4,1", "--time-limit=30"), {"no-time-limit"}),
    "time-limit-not-applied": (flags("-P threads"), set()),
    "soft-limit-not-below-hard": (flags("--soft-time-limit=30"), set()),
    "children-never-replaced": (flags("", "--max-tasks-per-child=1000"), set()),
    "memory-bound-in-wrong-unit": (flags("--max-memory-per-child=512"), set()),
    "shell-swallows-signals": (lines(f"sh -c '{WORKER}; echo ended'"), set()),
    "running-as-root": (flags("", is_root=True), set()),
    "pidfile-blocks-start": (flags("--pidfile=/run/w.pid", pidfile_holder="postgres (42)"), set()),
    "options-from-environment": (lines(f"CELERY_WORKER_AUTOSCALE=9,1 {WORKER}"), set()),
    "node-name-shared": (lines(WORKER, WORKER), set()),
    "acknowledged-early": (
        conf(evidence=app(tasks=EARLY), task_acks_late=False),
        {"one-more-is-held"},
    ),
    "lost-with-its-process": (app(tasks={"shop.buy": TaskFacts(acks_late=True)}), set()),
    "redelivered-for-ever": (conf(evidence=stock(), task_retry_on_worker_lost=None), {"message-ends-worker"}),
    "timed-out-for-ever": (conf(evidence=stock(), task_acks_on_timeout=False), {"message-ends-worker"}),
    "no-time-limit": (flags("", "--time-limit=30"), set()),
    "one-more-is-held": (app(tasks=EARLY), set()),
    "tasks-hoarded": (flags("--prefetch-multiplier=4"), set()),
    "visible-too-soon": (
        stock(
            conf={
                **CONF,
                "broker_transport_options": {"socket_timeout": 5, "priority_steps": [0], "visibility_timeout": 9},
            }
        ),
        {"message-ends-worker"},
    ),
    "eta-beyond-visibility": (
        replace(stock(), workers=(replace(ANSWER, eta_seconds=7200),)),
        {"message-ends-worker"},
    ),
    "stuck-after-reconnect": (
        conf(
            evidence=flags("--autoscale=4,1"),
            worker_autoscaler=STOCK_AUTOSCALER,
            worker_enable_prefetch_count_reduction=True,
        ),
        set(),
    ),
    "runs-twice-after-reconnect": (
        conf(evidence=stock(), worker_cancel_long_running_tasks_on_connection_loss=False),
        {"message-ends-worker"},
    ),
    "message-ends-worker": (stock(), set()),
    "exchange-shared": (app(queues=SHARED), {"queue-without-worker"}),
    "missing-queues-created": (conf(task_create_missing_queues=True), set()),
    "route-to-undeclared-queue": (app(routes={"shop.*": "quik"}), set()),
    "route-matches-nothing": (app(routes={"shop.*": "quick", "shopp.*": "quick"}), set()),
    "default-queue-undeclared": (conf(evidence=app(routes={}), task_default_queue="celery"), set()),
    "queues-not-named": (
        replace(flags("", "--queues=quick"), app=replace(APP, queues=BOTH)),
        {"queue-without-worker"},
    ),
    "unknown-queue-named": (lines(WORKER.replace("=quick ", "=quik ")), set()),
    "priority-beats-queues": (
        conf(
            evidence=app(tasks={"shop.buy": replace(TASK, priority=9)}),
            broker_transport_options={"socket_timeout": 5},
        ),
        set(),
    ),
    "queue-without-worker": (app(queues=BOTH), set()),
    "undeclared-queue-consumed": (answer(queues=("quick", "quik")), set()),
    "worker-lacks-tasks": (answer(registered=frozenset()), set()),
    "several-beats": (lines(*["celery -A shop:app beat"] * 2), set()),
    "beat-inside-worker": (flags("-B"), set()),
    "schedule-in-tmp": (lines("celery -A shop:app beat --schedule=/tmp/celerybeat-schedule"), set()),
    "pidfile-guards-one-host": (lines(f"{BEAT}/run/beat.pid"), set()),
    "periodic-task-never-expires": (
        app(entries=(BeatEntry(name="tick", task="shop.buy", every_seconds=60, expires=False),)),
        set(),
    ),
    "periodic-task-unknown": (app(entries=(BeatEntry(name="tick", task="shop.sell"),)), set()),
    "periodic-task-to-undeclared-queue": (
        app(entries=(BeatEntry(name="tick", task="shop.buy", queue="quik"),)),
        set(),
    ),
    "redis-evicts": (info(maxmemory_policy="allkeys-lru"), set()),
    "redis-memory-unbounded": (info(maxmemory=0), set()),
    "redis-nearly-full": (info(used_memory=2**30), set()),
    "redis-forgets": (info(aof_enabled=0), set()),
    "redis-cannot-save": (info(aof_last_write_status="err"), set()),
    "redis-is-replica": (info(role="slave"), set()),
    "redis-is-cluster": (info(cluster_enabled=1), set()),
    "redis-too-old": (info(redis_version="6.2.1"), set()),
    "redis-out-of-clients": (info(maxclients=100, connected_clients=95), set()),
    "socket-never-times-out": (conf(broker_transport_options={"priority_steps": [0]}), set()),
    "connecting-given-up": (conf(broker_connection_max_retries=100), set()),
    "stray-queue": (replace(HEALTHY, redis=RedisFacts(address=LOCAL, info=INFO, strays={"quik": 3})), set()),
    "password-on-command-line": (lines(WORKER.replace("-A", "-b redis://:pw@127.0.0.1/0 -A")), set()),
    "password-in-settings": (app(shown={"redbeat_redis_url": "redis://:pw@127.0.0.1/0"}), set()),
    "broker-without-password": (broker("rediss://10.0.0.1/0?ssl_cert_reqs=required"), set()),
    "broker-unencrypted": (broker("redis://:pw@10.0.0.1/0"), set()),
    "certificate-not-checked": (broker("rediss://:pw@10.0.0.1/0"), set()),
    "pickle-accepted": (conf(accept_content=["json", "pickle"]), set()),
    "flower-open": (lines("celery -A shop:app flower --port=5555"), set()),
    "backend-unused": (conf(**RESULTS), set()),
    "results-never-expire": (
        conf(evidence=app(tasks=READ), **RESULTS, result_expires=None, redis_socket_timeout=5),
        set(),
    ),
    "results-block-publishers": (conf(evidence=app(tasks=READ), **RESULTS, redis_socket_timeout=120.0), set()),
    "pool-cannot-grow": (answer(prefetch_count=2), set()),
    "clock-is-off": (answer(clock_offset_seconds=-3.0), set()),
    "first-runs-are-cold": (answer(runs={"shop.buy": cold(first_seconds=1.5)}), set()),
    "warm-up-fails": (answer(warm_up_failing="warm-up shop.connect raised OSError: no route"), set()),
    "promise-broken": (
        replace(HEALTHY, queues={"quick": Backlog(depth=1, oldest_seconds=9.0)}),
        set(),
    ),
    "backlog-without-worker": (replace(HEALTHY, queues={"slow": Backlog(depth=1)}), set()),
    "unacked-held-by-nobody": (replace(HEALTHY, unacked=2, workers=()), set()),
    "dead-letters-wait": (replace(HEALTHY, dead={"quick": 1}), set()),
    "fleet-not-installed": (
        replace(tier(queue="slow"), workers=(replace(ANSWER, queues=("quick", "slow")),)),
        {"undeclared-queue-consumed"},
    ),
    "task-in-no-tier": (tier(tasks=("store.*",)), set()),
    "tier-without-spare": (tier(start_within_seconds=0.5), set()),
    "replicas-missing": (tier(replicas=2), set()),
}


@pytest.mark.parametrize(
    "runs",
    [
        cold(first_seconds=0.4),  # longer by less than a tenth of the promise
        cold(first_seconds=1.5, later_seconds=0.6),
        cold(first_seconds=1.5, first_count=1),
        cold(first_seconds=1.5, later_count=9),
    ],
    ids=["soon", "alike", "once", "rare"],
)
def test_first_runs_that_cost_little_or_are_few_are_not_cold(runs: RunFacts) -> None:
    assert found(answer(runs={"shop.buy": runs})) == set()


def found(evidence: Evidence) -> set[str]:
    return {finding.rule for finding in examine(evidence).findings}


def test_a_healthy_deployment_has_no_finding_and_no_rule_is_skipped() -> None:
    examination = examine(HEALTHY)

    assert examination.findings == ()
    assert examination.skipped == {}


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", CASES)
def test_a_mistake_is_found_and_nothing_else(rule: str) -> None:
    evidence, besides = CASES[rule]

    assert found(evidence) == {rule} | besides


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_without_its_evidence_is_skipped_and_says_so(rule: Any) -> None:
    examination = examine(Evidence(), only=[rule.id])

    assert examination.findings == ()
    assert [name for names in examination.skipped.values() for name in names] == [rule.id]


def test_passwords_are_not_in_proofs() -> None:
    for name in ("password-on-command-line", "password-in-settings", "broker-unencrypted", "certificate-not-checked"):
        for finding in examine(CASES[name][0]).findings:
            assert "pw" not in finding.proof


def test_an_unknown_rule_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingError, match=r"--only hartbeat-off: no such rule: did you mean heartbeat-off\?"):
        examine(HEALTHY, only=["hartbeat-off"])
