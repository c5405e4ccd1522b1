from celery import Celery
from kombu import Queue

app = Celery("shop")
app.conf.update(
    task_queues=[Queue("high"), Queue("low")],
    task_routes={"shop.buy": {"queue": "hihg"}},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)


@app.task
def buy() -> None: ...


@app.task
def sell() -> None: ...
