"""What runs inside publishers and worker processes: `install(app)` puts all of it in place."""

from deploytools.worker.install import install

__all__ = ["install"]
