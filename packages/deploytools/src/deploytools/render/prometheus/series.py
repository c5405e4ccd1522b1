"""Names of series, as rules select them and proofs list them."""

from deploytools.fleet import Tier
from deploytools.render.container import METRICS_PORT


def series(name: str, **labels: str) -> str:
    """Return a metric with labels."""
    return f"{name}{label_set(labels)}"


def label_set(labels: dict[str, str]) -> str:
    """Return labels in braces; nothing where there are none."""
    pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def growth(counter: str, window: str) -> str:
    """Return by how much a counter's series grew in a window, those included that began in it.

    A series begins at what it counts then (a task's first failures), not at 0: `increase` would not see that. Of
    processes that Prometheus has just found nothing is known, so their series do not count as begun.
    """
    begun = f"{counter} unless {counter} offset {window} and on (instance) up offset {window}"
    return f"(({begun}) or increase({counter}[{window}]))"


def of_worker(name: str, tier: Tier, **labels: str) -> str:
    """Return a metric of a worker of a tier, as it is scraped."""
    return series(
        name, instance=f"{tier.name}:{METRICS_PORT}", job="celery", tier=tier.name, worker=tier.name, **labels
    )


def of_queue(name: str, tier: Tier, **labels: str) -> str:
    """Return a metric of a tier's queue, as the leading beat tells it."""
    return of_beat(name, tier=tier.name, queue=tier.queue, **labels)


def of_beat(name: str, *, instance: str = f"beat:{METRICS_PORT}", tier: str = "beat", **labels: str) -> str:
    """Return a metric of a beat, as it is scraped."""
    return series(name, instance=instance, job="celery", tier=tier, worker="beat", **labels)
