"""Serve what a beat does, and, from the one that leads, what waits in the broker."""

import atexit
import time
from typing import Any, cast

from celery.signals import beat_init

from deploytools.errors import SettingError
from deploytools.metrics.broker import BeatCollector, BrokerCollector
from deploytools.metrics.endpoint import serve
from deploytools.settings import current_project, current_settings

# Beat looks at its schedule each second; Celery's own, in a file, each five minutes at most.
HUNG_AFTER_SECONDS = 60.0
BEHIND_AFTER_SECONDS = 15.0

collector = BeatCollector()


def connect() -> None:
    """Serve in beat processes. Connecting twice changes nothing."""
    beat_init.connect(_serve, dispatch_uid="deploytools.beat.metrics", weak=False)


def _serve(sender: Any, **_: Any) -> None:
    settings = current_settings()
    if settings.metrics_port is None:
        return
    app = cast(Any, sender.app)
    try:
        endpoint = serve(
            [collector, BrokerCollector(app, app.fleet, lambda: collector.is_leader)],
            BeatHealth(),
            host=settings.metrics_host,
            port=settings.metrics_port,
            labels={"tier": "beat", "worker": "beat"},
            state=None if settings.metrics_port else current_project().state,
        )
    except SettingError as error:
        raise SystemExit(str(error)) from None
    atexit.register(endpoint.close)  # Celery says nothing of a beat that ends


class BeatHealth:
    """Whether a beat looks at its schedule; a standby that does is as ready as the leader."""

    def is_live(self) -> bool:
        """Say whether it works at all. A broker that is away is no reason to start it anew."""
        return time.monotonic() - collector.turned_at < HUNG_AFTER_SECONDS

    def is_ready(self) -> bool:
        """Say whether it looked lately, with the broker's help."""
        return time.monotonic() - collector.looked_at < BEHIND_AFTER_SECONDS
