"""What pytest loads wherever deploytools is installed: the plugin, if its requirements are there (`[testing]`)."""

from importlib.util import find_spec

if all(find_spec(name) for name in ("psutil", "testcontainers")):
    from deploytools.testing.plugin import *  # noqa: F403 — hooks and fixtures
