"""A plain Celery application, as a baseline: without anything of ours.

Workers import it as `loadtests.plain:app`. It has the task modules of the project's application and the libraries its
workers import before they fork, the tasks of `deploytools.worker.synthetic`, and the probe that tells a benchmark when
tasks started; queues, acknowledgement, autoscaler and transport are Celery's defaults.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from celery import Celery

from deploytools.broker.choice import broker_address
from deploytools.settings import current_project, current_settings
from deploytools.worker import probe


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
_fleet = _project.fleet()
_tasks = _fleet.app.partition(":")[0]
import_tasks_without_app(_tasks)
import_module(f"{_tasks.partition('.')[0]}.core.libraries").connect(_fleet)  # as the application's workers do
probe.connect()
