"""Which tiers a worker serves: those whose queues it consumes."""

from typing import Any

from deploytools.fleet import Tier


def consumed_tiers(app: Any) -> list[Tier]:
    """Return the tiers of the queues that this worker's application consumes, in the order of its queues."""
    fleet = getattr(app, "fleet", None)
    queues = app.amqp.queues.consume_from
    return [tier for queue in queues if fleet and (tier := fleet.tier_of_queue(queue))]
