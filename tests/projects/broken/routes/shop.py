from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))


@app.task
def quick() -> None: ...
