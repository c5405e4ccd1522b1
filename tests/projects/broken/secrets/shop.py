from celery import Celery

from deploytools.worker import install

app = install(Celery("shop"))
app.conf.accept_content = ["json", "pickle"]
app.conf.update(audit_url="redis://auditor:opensesame@127.0.0.1/3")


@app.task
def quick() -> None: ...
