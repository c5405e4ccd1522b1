"""Libraries that are imported before a worker forks."""

from importlib import import_module
from typing import Any

from celery.signals import worker_init

from deploytools.fleet import Fleet

# Client libraries that take up to a second to import, by a task that uses them. A tier's worker imports them before it
# forks: once, not in each process's first task, and not in tiers that do without.
LIBRARIES = {
    "app.tasks.chat.complete": ("openai.resources",),
    "app.tasks.embeddings.embed": ("openai.resources",),
    "app.tasks.dataset.export": ("pyarrow.parquet",),
    "app.tasks.langfuse.ship": ("langfuse.api",),
}


def connect(fleet: Fleet) -> None:
    """Import what a worker's queues need, when it starts."""

    def import_libraries(sender: Any, **_: Any) -> None:
        for library in find_libraries(fleet, set(sender.app.amqp.queues.consume_from)):
            import_module(library)

    worker_init.connect(import_libraries, weak=False)


def find_libraries(fleet: Fleet, queues: set[str]) -> list[str]:
    """Return the libraries that a worker of these queues needs."""
    used = {
        library
        for task, libraries in LIBRARIES.items()
        if (tier := fleet.tier_of_task(task)) and tier.queue in queues
        for library in libraries
    }
    return sorted(used)
