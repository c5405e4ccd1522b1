"""The least a fleet needs of a Redis server, as the rules of an access control list. Pure."""

from deploytools.fleet import Fleet

# What is sent, and by whom: kombu's channel and ours (a script is refused what its user may not call), the pidbox that
# `inspect` and `control` speak through, beat, the readers of depth, age and dead letters, `doctor`, which looks for
# forgotten queues, and the library `limits`.
COMMANDS = (
    *("ping", "time", "select", "client|setinfo", "client|id", "info", "scan"),
    *("multi", "exec", "discard", "watch", "unwatch", "eval", "evalsha", "script|load", "script|exists"),
    *(
        "get",
        "set",
        "del",
        "exists",
        "lpush",
        "rpush",
        "rpop",
        "llen",
        "lrange",
        "lindex",
        "lrem",
        "ltrim",
        "expire",
        "brpop",
        "blpop",
        "blmove",
    ),
    *("hget", "hset", "hsetnx", "hdel", "hexists", "hlen", "hmget"),
    *("zadd", "zrem", "zscore", "zrange", "zrangebyscore", "zrevrangebyscore"),
    *("sadd", "srem", "smembers", "publish", "psubscribe", "punsubscribe"),
)
# Beside its queues: kombu's bindings and unacknowledged messages; `inspect` and its answers, whose queues have a stage
# too; what Flower hears of events by; what beat, load runs, limits keep.
KEYS = ("_kombu.binding*", "unacked*", "*.celery.pidbox*", "celeryev.*", "deploytools.*")
# A queue's list, where a waiting worker has it moved to, its dead letters; their length is asked for like a queue's.
SUFFIXES = ("", ".stage", ".dead", ".dead.stage")
# Kombu's broadcast exchanges: the pidbox, and events.
CHANNELS = ("celery.pidbox", "celeryev", "celeryev/*")


def acl_rules(fleet: Fleet, *, database: int = 0) -> tuple[str, ...]:
    """Return what follows `ACL SETUSER name >password`: nothing is allowed but this.

    Kombu subscribes to patterns, and Redis wants those to be in the list word for word: hence the database's number.
    """
    queues = [f"~{queue.name}{suffix}" for queue in fleet.queues() for suffix in SUFFIXES]
    return (
        *("resetkeys", "resetchannels", "nocommands"),
        *queues,
        *(f"~{key}" for key in KEYS),
        *(f"&/{database}.{channel}" for channel in CHANNELS),
        *(f"+{command}" for command in COMMANDS),
    )
