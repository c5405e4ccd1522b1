"""Run Celery's command line without third-party plug-ins: `python -m deploytools.celery -A app worker …`.

Celery imports every package that offers a sub-command before it looks at the arguments. Where Flower is installed that
adds Tornado and the Prometheus client to every worker: time at start, and memory in each of its processes. Its own
interactive prompt (`celery repl`, by click-repl and prompt-toolkit) is a seventh of the time a worker imports for, and
7 MiB; it is left out as well. Everything else, arguments included, is `python -m celery`.

Below a supervisor the process ends when that one ends, however it ends (`deploytools.supervised`).
"""

import importlib.metadata
import sys
from types import ModuleType
from typing import Any

from deploytools.supervised import end_with_supervisor

_entry_points = importlib.metadata.entry_points


def _no_celery_plugins(**parameters: Any) -> Any:
    found = _entry_points(**parameters)
    return found.select(name="") if parameters.get("group") == "celery.commands" else found


def _no_prompt() -> ModuleType:
    """Return what stands for click-repl while Celery's command line is imported."""
    stand_in = ModuleType("click_repl")
    stand_in.register_repl = lambda _group: None  # type: ignore[attr-defined]
    return stand_in


def main() -> int:
    """Run `celery` with the arguments of this process."""
    end_with_supervisor()
    importlib.metadata.entry_points = _no_celery_plugins
    sys.modules["click_repl"] = _no_prompt()
    from celery.bin.celery import main as celery_main

    importlib.metadata.entry_points = _entry_points
    del sys.modules["click_repl"]  # an application may have use for it
    from celery.exceptions import ImproperlyConfigured

    sys.argv[0] = "celery"
    try:
        return celery_main()
    except ImproperlyConfigured as error:
        print(f"celery: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
