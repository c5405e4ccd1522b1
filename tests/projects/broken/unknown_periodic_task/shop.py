from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.beat_schedule = {"tick": {"task": "shop.sell", "schedule": 60.0}}


@app.task
def buy() -> None: ...
