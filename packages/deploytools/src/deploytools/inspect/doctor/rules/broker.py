"""The Redis that carries the queues."""

from deploytools.inspect.doctor.evidence import AppFacts, RedisFacts
from deploytools.inspect.doctor.finding import Severity
from deploytools.inspect.doctor.rule import Occurrences, rule

NEARLY_FULL = 0.9
# Our scripts say whether they may run without memory (`#!lua flags=`), which Redis understands since 7.0.
OLDEST_FOR_SCRIPTS = 7


@rule(
    Severity.ERROR,
    consequence="When memory is short Redis deletes keys: with allkeys-* whole queues, else locks and results.",
    fix="`maxmemory-policy noeviction`, and a Redis of its own for caches.",
    source="kombu/transport/redis.py:183-186",
)
def redis_evicts(redis: RedisFacts) -> Occurrences:
    """Redis may throw keys away."""
    policy = redis.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield str(redis.address), f"maxmemory-policy {policy}"


@rule(
    Severity.NOTE,
    consequence="A backlog grows until the kernel kills Redis or a neighbour.",
    fix="`maxmemory` below what the host can spare, with noeviction.",
    source="celery#5716",
)
def redis_memory_unbounded(redis: RedisFacts) -> Occurrences:
    """Redis may take all memory."""
    if not redis.info.get("maxmemory"):
        yield str(redis.address), "maxmemory 0"


@rule(
    Severity.ERROR,
    consequence="Publishers are refused; kombu's transport loses a message that it pops, and its worker ends.",
    fix="Raise maxmemory, or find out what fills it.",
    source="run: 1 of 6 lost, exit code 1",
)
def redis_nearly_full(redis: RedisFacts) -> Occurrences:
    """Redis has used nine tenths of its memory."""
    limit, used = redis.info.get("maxmemory") or 0, redis.info.get("used_memory", 0)
    if limit and used > NEARLY_FULL * limit:
        yield str(redis.address), f"{used / 2**20:.0f} of {limit / 2**20:.0f} MiB"


@rule(
    Severity.WARNING,
    consequence="After a crash of Redis all is gone that was published since its last snapshot, if it makes any.",
    fix="`appendonly yes`, `appendfsync everysec`.",
    source="Redis's documentation on persistence",
)
def redis_forgets(redis: RedisFacts) -> Occurrences:
    """Redis keeps no log of what it accepts."""
    if redis.info.get("aof_enabled") == 0:
        yield str(redis.address), "appendonly no"


@rule(
    Severity.ERROR,
    consequence="Redis refuses every write (MISCONF) until it can save: nothing is published.",
    fix="Look into its log: mostly the disk is full.",
    source="Redis's documentation on persistence",
)
def redis_cannot_save(redis: RedisFacts) -> Occurrences:
    """Redis failed to write its data."""
    for name in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if redis.info.get(name, "ok") != "ok":
            yield str(redis.address), f"{name} {redis.info[name]}"


@rule(
    Severity.ERROR,
    consequence="A replica is read-only: nothing can be published or taken.",
    fix="Name the primary in the URL, or use Sentinel.",
    source="INFO replication",
)
def redis_is_replica(redis: RedisFacts) -> Occurrences:
    """The broker is a replica."""
    if redis.info.get("role", "master") != "master":
        yield str(redis.address), f"role {redis.info['role']}"


@rule(
    Severity.ERROR,
    consequence="Kombu's commands span several keys, which a cluster refuses (CROSSSLOT).",
    fix="A Redis without cluster mode, with Sentinel where it has to be available.",
    source="celery#2852, kombu#2204",
)
def redis_is_cluster(redis: RedisFacts) -> Occurrences:
    """The broker is a Redis Cluster."""
    if redis.info.get("cluster_enabled"):
        yield str(redis.address), "cluster_enabled 1"


@rule(
    Severity.ERROR,
    consequence="The fleet's transport takes messages by scripts that this server cannot read.",
    fix='Redis 7 or Valkey; or `transport = "stock"` in the fleet file.',
    source="deploytools.transport.scripts",
)
def redis_too_old(redis: RedisFacts, app: AppFacts) -> Occurrences:
    """Redis is older than the fleet's transport needs."""
    version = str(redis.info.get("redis_version", OLDEST_FOR_SCRIPTS))
    if app.is_hardened and int(version.partition(".")[0]) < OLDEST_FOR_SCRIPTS:
        yield str(redis.address), f"redis_version {version}"


@rule(
    Severity.WARNING,
    consequence="The next worker or publisher is refused.",
    fix="Raise `maxclients`, or find who keeps connections (`CLIENT LIST`).",
    source="INFO clients",
)
def redis_out_of_clients(redis: RedisFacts) -> Occurrences:
    """Nearly all connections are taken."""
    limit, used = redis.info.get("maxclients") or 0, redis.info.get("connected_clients", 0)
    if limit and used > NEARLY_FULL * limit:
        yield str(redis.address), f"{used} of {limit} clients"


@rule(
    Severity.WARNING,
    consequence="When Redis hangs, publishers and workers wait for ever.",
    fix="`broker_transport_options = {'socket_timeout': 5, 'socket_connect_timeout': 5}`.",
    source="celery#4296; run: blocked until killed",
)
def socket_never_times_out(app: AppFacts) -> Occurrences:
    """Connections to Redis have no timeout."""
    if app.broker is not None and app.broker.is_redis and not app.transport_options.get("socket_timeout"):
        yield app.name, "broker_transport_options without socket_timeout"


@rule(
    Severity.NOTE,
    consequence="A worker that cannot connect for 46 minutes gives up and ends.",
    fix="`broker_connection_max_retries = None`, or a process manager that restarts always.",
    source="kombu/connection.py:467-472",
)
def connecting_given_up(app: AppFacts) -> Occurrences:
    """Workers try to connect a limited number of times."""
    if tries := app.conf["broker_connection_max_retries"]:
        yield app.name, f"broker_connection_max_retries = {tries}"


@rule(
    Severity.WARNING,
    consequence="Misspelt: nobody will run them. Another application's: both share `unacked`, and the shortest "
    "visibility timeout holds for all.",
    fix="Correct the name and move the messages; or give each application a database, better a Redis, of its own.",
    source="kombu: getting-started/backends-and-brokers/redis.rst",
)
def stray_queue(redis: RedisFacts) -> Occurrences:
    """The database holds task messages in a queue that is not declared: a misspelt one, or another application's."""
    for name, depth in redis.strays.items():
        yield name, f"{depth} messages"
