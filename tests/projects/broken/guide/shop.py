from celery import Celery

app = Celery("shop", broker="redis://127.0.0.1:1/0")


@app.task
def buy() -> None: ...
