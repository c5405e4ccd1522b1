"""No fleet: plain Celery on RabbitMQ, set up with care but for its queues."""

from celery import Celery
from kombu import Queue

app = Celery("shop", broker="amqp://shop:unused@127.0.0.1:1//")
app.conf.update(
    broker_connection_max_retries=None,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_time_limit=30,
    task_queues=(Queue("counter"), Queue("store_room")),
    task_default_queue="celery",
    task_routes={"shop.quick": "conter"},
)


@app.task
def quick() -> None: ...
