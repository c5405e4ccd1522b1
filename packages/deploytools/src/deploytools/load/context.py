"""Where a run took place, and with what: enough to repeat it."""

import os
import platform
import sys
from importlib.metadata import version
from typing import Any


def run_context(**more: Any) -> dict[str, Any]:
    """Return machine, versions and command line of this process."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("celery", "kombu", "redis", "locust", "deploytools")},
        "command": " ".join(sys.argv),
        **more,
    }
