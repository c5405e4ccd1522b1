from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.accept_content = ["json", "pickle"]
app.conf.redbeat_redis_url = "redis://:s3cret@127.0.0.1:6379/1"


@app.task
def buy() -> None: ...
