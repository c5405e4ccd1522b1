"""The transport class that kombu's names `redis://` and `rediss://` mean in a hardened fleet."""

from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, _transport_cache, redis

from deploytools.transport.channel import Channel

SCHEMES = ("redis", "rediss", "redis+socket")
_STOCK = {scheme: TRANSPORT_ALIASES[scheme] for scheme in SCHEMES if scheme in TRANSPORT_ALIASES}


class Transport(redis.Transport):
    """kombu's Redis transport with our channel."""

    Channel = Channel

    @staticmethod
    def _new_tag_prefix() -> str:
        return uuid4().hex


def use_hardened(hardened: bool) -> None:
    """Have this process's Redis URLs mean our transport, or kombu's own. Celery knows transports by their URL only."""
    for scheme, stock in _STOCK.items():
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport" if hardened else stock
        _transport_cache.pop(scheme, None)
