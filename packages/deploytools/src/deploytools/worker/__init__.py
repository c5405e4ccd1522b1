"""What runs inside publishers and worker processes: `install(app)` puts all of it in place.

`warm_up` registers a function that prepares each new pool process before its first task.
"""

from deploytools.worker.install import install
from deploytools.worker.warming import warm_up

__all__ = ["install", "warm_up"]
