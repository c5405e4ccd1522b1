from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.update(broker_connection_max_retries=100, result_backend="cache+memory://", result_expires=None)


@app.task(acks_late=False)
def quick() -> None: ...


@app.task(reject_on_worker_lost=False)
def slow() -> None: ...
