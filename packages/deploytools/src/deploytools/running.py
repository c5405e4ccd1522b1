"""Keep a fleet's programs running, with the embedded broker below them where that is the choice."""

import asyncio
from collections.abc import Sequence
from functools import partial

from deploytools.broker.choice import ready_broker
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.project import Project
from deploytools.services import Service
from deploytools.settings import Settings
from deploytools.supervisor import Supervisor


def keep_running(services: Sequence[Service], settings: Settings, project: Project) -> None:
    """Run services until Ctrl-C; revive an embedded broker that dies, and stop it at the end if it was started here."""
    if settings.broker_url:
        ready_broker(settings, project)
        asyncio.run(Supervisor(services=services, project=project).run())
        return
    broker = EmbeddedBroker(state=project.state)
    started_here = broker.start(until_exit=True)
    check = partial(broker.start, until_exit=started_here)
    try:
        asyncio.run(Supervisor(services=services, project=project, check=check).run())
    finally:
        if started_here:
            broker.stop()
