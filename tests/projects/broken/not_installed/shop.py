from celery import Celery

app = Celery("shop")


@app.task
def buy() -> None: ...
