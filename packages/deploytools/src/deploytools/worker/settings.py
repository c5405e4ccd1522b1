"""The Celery settings that follow from the fleet. Everything else is the application's to choose."""

from typing import Any

from kombu import Exchange, Queue

from deploytools.broker.address import BrokerAddress, is_hardened
from deploytools.fleet import Fleet
from deploytools.transport.dead import dead_queue

# A broker that does not answer for this long is treated as gone. Without it a hung Redis blocks publishers for ever.
SOCKET_TIMEOUT_SECONDS = 5


def fleet_settings(fleet: Fleet, address: BrokerAddress) -> dict[str, Any]:
    """Return Celery settings: queues, routes, delivery guarantees and the transport's timeouts."""
    default_queue = fleet.tier(fleet.default_tier).queue
    return {
        # Each queue has an exchange and a key of its own. A bare Queue(name) is bound to the default exchange with the
        # default key, and a message published there lands in every queue at once.
        "task_queues": tuple(
            Queue(
                queue.name,
                Exchange(queue.exchange, type="direct"),
                routing_key=queue.routing_key,
                queue_arguments=_queue_arguments(fleet, address, queue.name),
            )
            for queue in fleet.queues()
        ),
        "task_routes": fleet.routes(),
        "task_default_queue": default_queue,
        "task_default_exchange": default_queue,
        "task_default_routing_key": default_queue,
        # A misspelt queue is an error at the publisher, not a queue that nobody reads.
        "task_create_missing_queues": False,
        # Nothing is lost: a task is acknowledged when it ended, and given back when its process died.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # After a lost connection stock delivers unacknowledged tasks again: end their first run instead of running
        # both. Hardened keeps their leases, and their late acknowledgement works.
        "worker_cancel_long_running_tasks_on_connection_loss": not is_hardened(fleet, address),
        # On, a reconnect sets the prefetch to the *current* processes, and autoscale never grows again (5.7.0).
        "worker_enable_prefetch_count_reduction": False,
        "worker_consumer": "deploytools.worker.rejection:Consumer",
        "worker_autoscaler": "deploytools.worker.autoscaler:Autoscaler",
        # A broker may be away for longer than the default 100 attempts (46 minutes).
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that does not write now (after a failover, with a full disk, too few replicas) answers with an error.
        "broker_channel_error_retry": is_hardened(fleet, address),
        "broker_transport_options": _transport_options(fleet, address),
    }


def _queue_arguments(fleet: Fleet, address: BrokerAddress, queue: str) -> dict[str, Any] | None:
    """Return what makes RabbitMQ keep the same promises: replicated queues, dead letters, a delivery limit."""
    if address.is_redis or fleet.transport == "stock":
        return None
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": fleet.delivery_limit - 1,  # RabbitMQ counts what comes after the first delivery
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_queue(queue),
    }


def _transport_options(fleet: Fleet, address: BrokerAddress) -> dict[str, Any]:
    if not address.is_redis:
        return {}
    leases = {"lease_seconds": fleet.lease_seconds, "delivery_limit": fleet.delivery_limit}
    return (leases if is_hardened(fleet, address) else {}) | {
        "visibility_timeout": fleet.visibility_timeout_seconds,
        # By default kombu looks for overdue tasks every 100 s.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        # Tiers are queues of their own; one list a queue instead of four spares Redis and every reader of depth.
        "priority_steps": [0],
        "queue_order_strategy": "round_robin",
    }
