"""A plain Celery application, as a baseline: without anything of ours.

Workers import it as `loadtests.plain:app`. It has the task modules of the project's application, the tasks of
`deploytools.worker.synthetic`, and the reports that tell a benchmark when tasks started; queues, acknowledgement,
autoscaler and transport are Celery's defaults. Libraries that tasks import when they run are imported in each pool
process, as in any application without `preload`.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from celery import Celery

from deploytools.broker.choice import broker_address
from deploytools.settings import current_project, current_settings
from deploytools.worker import completion_reports


def import_tasks_without_app(package_name: str) -> None:
    """Import the modules of a package of tasks, but not the package itself, which would install the application."""
    parent_name, _, name = package_name.rpartition(".")
    folder = Path(str(import_module(parent_name).__file__)).with_name(name)
    package = ModuleType(package_name)
    package.__path__ = [str(folder)]
    sys.modules[package_name] = package
    for path in folder.glob("[a-z]*.py"):
        import_module(f"{package_name}.{path.stem}")


_project = current_project()
app = Celery("plain", broker=broker_address(current_settings(), _project).url)
app.conf.update(include=["deploytools.worker.synthetic"], task_ignore_result=True)
import_tasks_without_app(_project.fleet().app.partition(":")[0])
completion_reports.connect()
