"""`autoscale.explain`: why pools have the size they have."""

from typing import Any

from invoke.collection import Collection

from deploytools.invoke.command import command
from deploytools.invoke.inspection import HELP, show


@command(help=HELP)
def explain(_: Any, json_: bool = False) -> None:
    """Show why each worker has as many processes as it has: load, backlog, promise, bounds."""
    from deploytools.inspect.tables import sizes_table

    show(sizes_table, json_=json_)


ns = Collection("autoscale", explain)
