from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.beat_schedule = {
    "tidy": {"task": "shop.tydy", "schedule": 60.0, "options": {"expires": 60}},
    "count": {"task": "shop.count", "schedule": 10.0},
    "report": {"task": "shop.count", "schedule": 3600.0, "options": {"queue": "conter", "expires": 60}},
}


@app.task
def count() -> None: ...
