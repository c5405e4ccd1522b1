"""Limits that hold for the whole fleet, counted in Redis: how often an API may be called, and how often it may fail."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from app.services.errors import PermanentError, PostponedError, TransientError
from app.settings import project, settings
from deploytools.broker.choice import broker_address
from deploytools.broker.credentials import PasswordFile, without_login
from deploytools.settings import current_settings

# Among the keys that `broker.acl` lets a fleet use.
KEY_PREFIX = "deploytools.limits"


@contextmanager
def limited(api: str, *, rate: str, failures: str) -> Iterator[None]:
    """Make one call of an API; raise PostponedError instead if it was called, or failed, too often.

    `rate` and `failures` are what the `limits` library reads: "50 per second". Those who have to wait come back spread
    over one window of time, not all at once.
    """
    limiter = MovingWindowRateLimiter(storage())
    allowed, tolerated = parse(rate), parse(failures)
    try:
        if limiter.get_window_stats(tolerated, api, "failures").remaining == 0:
            raise _postpone(limiter, tolerated, api, "failures", f"{api} failed {failures}")
        if not limiter.hit(allowed, api, "calls"):
            raise _postpone(limiter, allowed, api, "calls", f"{api} may be called {rate}")
    except RedisError as error:
        raise TransientError(f"limits of {api}: {error}") from error
    try:
        yield
    except TransientError:
        with suppress(RedisError):  # the failure itself is what has to be known
            limiter.hit(tolerated, api, "failures")
        raise


@cache
def storage() -> Storage:
    """Return where calls are counted. What a real API may be called needs a Redis: nothing else holds for the fleet."""
    chosen, mine = settings(), current_settings()
    options: dict[str, Any] = {}
    if chosen.limits_url:
        url = chosen.limits_url.get_secret_value()
    else:
        address = broker_address(mine, project())
        url = address.url
        if mine.broker_password_file and address.is_redis:
            url, options["credential_provider"] = without_login(address), PasswordFile()
    if not url.startswith(("redis", "memory")):
        if chosen.model_url:
            raise PermanentError("APP_LIMITS_URL is not set, and the broker is no Redis: set it to a Redis, redis://…")
        url = "memory://"  # the stand-in answers in this process; nobody outside is to be spared
    if not url.startswith("memory"):
        options["key_prefix"] = KEY_PREFIX
    found = storage_from_string(url.replace("redis+socket://", "redis+unix://"), **options)
    assert isinstance(found, Storage)  # noqa: S101 — the other kind is for asyncio, and has another scheme
    return found


def _postpone(limiter: MovingWindowRateLimiter, item: RateLimitItem, api: str, what: str, why: str) -> PostponedError:
    free_at = limiter.get_window_stats(item, api, what).reset_time
    spread_seconds = item.get_expiry() * random.random()  # noqa: S311 — no secret
    return PostponedError(why, max(0.0, free_at - time.time()) + spread_seconds)


os.register_at_fork(after_in_child=storage.cache_clear)
