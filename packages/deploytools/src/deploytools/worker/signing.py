"""Signed messages: whoever can write to the broker, but has no key, runs nothing.

A signature covers the body and every header but those that brokers and redelivery change. A message counts for a day
after it was signed, or after its ETA; with the hardened transport it counts once: when it is acknowledged, its nonce is
noted in Redis for as long. Keys are the lines of CELERY_SIGNING_KEY_FILE: the first signs, all are accepted, so that a
key can be replaced.
"""

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.signals import before_task_publish
from kombu.utils.json import dumps, loads
from redis.exceptions import RedisError

from deploytools.errors import SettingError
from deploytools.transport.channel import ONCE, Channel
from deploytools.transport.qos import REDELIVERIES

logger = logging.getLogger(__name__)

SIGNATURE = "x_signature"
SIGNED_AT = "x_signed_at"  # seconds of the epoch
NONCE = "x_nonce"
# Headers that others add after a message is signed, or take away before it is delivered.
CHANGES_UNDERWAY = frozenset(
    {SIGNATURE, REDELIVERIES, ONCE, "compression", "redelivered", "x-delivery-count", "x-acquired-count", "x-death"}
)
DEATHS = ("x-first-death-", "x-last-death-")
VALID_SECONDS = 24 * 3600
SEEN_KEY = "deploytools.signed."
# KEYS nonce; ARGV seconds. A script, because a full Redis lets those note what it lets them acknowledge.
NOTE = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], '', 'EX', ARGV[1])"
MIN_KEY = 32  # characters; a SHA-256's worth


@dataclass(frozen=True, slots=True)
class Signing:
    """Signs and checks with HMAC-SHA256. The first key signs."""

    keys: tuple[bytes, ...]

    def connect(self) -> None:
        """Sign what this process publishes. Connect it last: what adds headers later, breaks signatures."""
        before_task_publish.connect(self._sign_published, dispatch_uid="deploytools.signing", weak=False)

    def _sign_published(self, body: Any = None, headers: Any = None, **_: Any) -> None:
        if headers is not None:
            self.sign(headers, body)

    def sign(self, headers: MutableMapping[str, Any], body: Any) -> None:
        """Add time, nonce and signature to a message's headers."""
        headers[SIGNED_AT], headers[NONCE] = time.time(), secrets.token_hex(16)
        headers[SIGNATURE] = _digest(self.keys[0], headers, body)

    def check(self, message: Any) -> None:
        """Raise InvalidTaskError for a message that nobody with a key has sent, or that is too old, or has been run."""
        headers, given = message.headers, str(message.headers.get(SIGNATURE))
        digests = [_digest(key, headers, message.payload) for key in self.keys]
        if not any(hmac.compare_digest(digest, given) for digest in digests):
            raise InvalidTaskError("it is not signed with one of our keys")
        due_at = datetime.fromisoformat(headers["eta"]).timestamp() if headers.get("eta") else 0.0
        if time.time() - max(headers[SIGNED_AT], due_at) > VALID_SECONDS:
            raise InvalidTaskError(f"it was signed more than {VALID_SECONDS} seconds ago")
        if isinstance(message.channel, Channel) and message.channel.command("EXISTS", _seen_key(message)):
            raise InvalidTaskError("it has been run: somebody sent a copy")

    def note(self, message: Any) -> None:
        """Remember that a message was acknowledged, where there is a place for it.

        If Redis is away the message is acknowledged all the same, later, and a copy of it would run.
        """
        if not isinstance(message.channel, Channel):
            return
        try:
            message.channel.command("EVAL", NOTE, 1, _seen_key(message), VALID_SECONDS)
        except (RedisError, OSError) as error:
            logger.warning("signing: %s: a copy of task %s would run again", error, message.headers.get("id"))


def read_signing(path: Path | None) -> Signing | None:
    """Return what signs, by the keys in a file; None without a file. Raises SettingError."""
    if path is None:
        return None
    try:
        keys = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise SettingError(f"CELERY_SIGNING_KEY_FILE={path}: {error.strerror}") from None
    if not keys or any(len(key) < MIN_KEY for key in keys):
        raise SettingError(
            f"CELERY_SIGNING_KEY_FILE={path}: a key has at least {MIN_KEY} characters: "
            'make one with `python -c "import secrets; print(secrets.token_hex(32))"`'
        )
    return Signing(tuple(key.encode() for key in keys))


def _digest(key: bytes, headers: Mapping[str, Any], body: Any) -> str:
    # Through JSON and back first: a tuple arrives as a list, a number used as a key as text.
    signed = {
        name: value for name, value in headers.items() if name not in CHANGES_UNDERWAY and not name.startswith(DEATHS)
    }
    text = dumps(loads(dumps([signed, body])), sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _seen_key(message: Any) -> str:
    key: str = message.channel.prefixed(f"{SEEN_KEY}{message.headers[NONCE]}")
    return key
