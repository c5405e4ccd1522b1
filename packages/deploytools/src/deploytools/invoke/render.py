"""`render.*`: files from the fleet, and `render.check`, which fails where they differ from it."""

from collections.abc import Callable, Iterable
from typing import Any

from invoke.collection import Collection

from deploytools.errors import VerdictError
from deploytools.invoke.command import command
    "compose": (
        "Write compose/compose.yaml, the fleet and its broker on one host, and its secrets.",
        compose.render,
    ),
