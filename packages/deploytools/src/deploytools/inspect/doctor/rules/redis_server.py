"""What a Redis server is set up to forget, refuse or lose."""

from deploytools.inspect.doctor.evidence import AppFacts, RedisFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Signs, rule
from deploytools.inspect.doctor.rules.security import is_local

FULL = 0.8
OLDEST_FOR_HARDENED = 7


@rule(
    Severity.ERROR,
    consequence="When it is full Redis deletes queues, and says nothing.",
    fix="`CONFIG SET maxmemory-policy noeviction`, in its configuration file too.",
    source="celery#5716",
)
def queues_can_be_evicted(redis: RedisFacts) -> Signs:
    """Redis deletes keys when its memory is full."""
    policy = redis.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield str(redis.address), f"maxmemory-policy {policy}"


@rule(
    Severity.ERROR,
    consequence="These may have been queues, or messages that a worker had taken.",
    fix="Set `noeviction`, and keep caches on a server of their own.",
    source="kombu/transport/redis.py:183-186",
)
def keys_were_evicted(redis: RedisFacts) -> Signs:
    """Redis has deleted keys for want of memory."""
    if int(redis.info.get("evicted_keys", 0)):
        yield str(redis.address), f"evicted_keys {redis.info['evicted_keys']}"


@rule(
    Severity.WARNING,
    consequence="A backlog takes all of the host's memory; the kernel then ends Redis, not the publisher.",
    fix="Set `maxmemory` well below the host's.",
    source="celery#5716",
)
def memory_without_bound(redis: RedisFacts) -> Signs:
    """A shared Redis has no memory limit."""
    if not is_local(redis.address) and not int(redis.info.get("maxmemory", 0)):
        yield str(redis.address), "maxmemory 0"


@rule(
    Severity.ERROR,
    consequence="Soon publishers are refused; kombu's own transport then loses what it takes.",
    fix="Start workers, purge what is not needed, or raise `maxmemory`.",
    source="celery#5716; run: exit code 1 and a lost message",
)
def memory_nearly_full(redis: RedisFacts) -> Signs:
    """Redis is nearly full."""
    most, used = int(redis.info.get("maxmemory", 0)), int(redis.info.get("used_memory", 0))
    if most and used > FULL * most:
        yield str(redis.address), f"{used / most:.0%} of maxmemory"


@rule(
    Severity.ERROR,
    consequence="A restart of Redis loses every task since its last snapshot.",
    fix="`CONFIG SET appendonly yes`, in its configuration file too.",
    source="Redis's documentation on persistence",
)
def queues_not_persisted(redis: RedisFacts) -> Signs:
    """Redis writes no append-only file."""
    if not int(redis.info.get("aof_enabled", 0)):
        yield str(redis.address), "appendonly no"


@rule(
    Severity.ERROR,
    consequence="What is accepted now is gone after a restart, or writes are refused already.",
    fix="Look at its log: the disk is full, or not writable.",
    source="Redis's INFO persistence",
)
def persistence_fails(redis: RedisFacts) -> Signs:
    """Redis cannot write to its disk."""
    for field in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"):
        if redis.info.get(field, "ok") != "ok":
            yield str(redis.address), f"{field} {redis.info[field]}"


@rule(
    Severity.ERROR,
    consequence="It refuses every write: publishing and taking fail.",
    fix="Point the broker URL at the primary, or use Sentinel.",
    source="Redis's INFO replication",
)
def broker_is_a_replica(redis: RedisFacts) -> Signs:
    """The broker is a read-only replica."""
    if redis.info.get("role") in {"slave", "replica"}:
        yield str(redis.address), f"role {redis.info['role']}"


@rule(
    Severity.ERROR,
    consequence="Kombu has no transport for it: commands with several keys are refused.",
    fix="Use a Redis without cluster mode, with a replica.",
    source="celery#2852, kombu#526",
)
def broker_is_a_cluster(redis: RedisFacts) -> Signs:
    """The broker is a Redis Cluster."""
    if int(redis.info.get("cluster_enabled", 0)):
        yield str(redis.address), "cluster_enabled 1"


@rule(
    Severity.ERROR,
    consequence="Its scripts have no flags there: at the memory limit nothing can be taken or acknowledged.",
    fix='Use Redis 7 or Valkey, or `transport = "stock"`.',
    source="deploytools/transport/scripts.py",
)
def server_too_old(app: AppFacts, redis: RedisFacts) -> Signs:
    """The server is older than the hardened transport needs."""
    version = str(redis.info.get("redis_version", f"{OLDEST_FOR_HARDENED}"))
    if app.is_hardened and int(version.partition(".")[0]) < OLDEST_FOR_HARDENED:
        yield str(redis.address), f"redis_version {version}"
