from celery import Celery

app = Celery("shop", broker="rediss://:s3cret@127.0.0.1:1/0")
app.conf.update(task_acks_late=True, result_backend="redis://127.0.0.1:1/1", result_expires=None)


@app.task
def buy() -> None: ...
