"""`top`: a live screen of the fleet."""

import json
import sys
import time
from contextlib import closing
from typing import Any

from deploytools.invoke.command import command
from deploytools.invoke.inspection import reach
from deploytools.settings import current_project


@command(
    help={
        "json": "print one JSON object on stdout",
        "once": "print one table (as where there is no terminal)",
        "seconds": "look for so long before printing",
    }
)
def top(_: Any, json_: bool = False, once: bool = False, seconds: float = 1.0) -> None:
    """Watch the tiers live: waits, rates, processes; pause and resume them."""
    reach()
    from deploytools.app import load_app
    from deploytools.inspect.top.gather import Gatherer
    from deploytools.metrics.endpoint import TARGETS_FOLDER

    project = current_project()
    fleet = project.fleet()
    with closing(Gatherer(load_app(project, fleet), fleet, project.state / TARGETS_FOLDER)) as gatherer:
        if json_ or once or not sys.stdout.isatty():
            _print(gatherer, seconds=seconds, json_=json_)
            return
        from deploytools.inspect.top.screen import TopScreen

        TopScreen(take=gatherer.take, pause=gatherer.pause, resume=gatherer.resume).run()


def _print(gatherer: Any, *, seconds: float, json_: bool) -> None:
    from deploytools.inspect.top.rows import as_json, compare

    earlier = gatherer.take()
    time.sleep(seconds)
    later = gatherer.take()
    if json_:
        print(json.dumps(as_json(earlier, later)))
        return
    from deploytools.inspect.layout import print_table
    from deploytools.inspect.top.cells import top_table

    print_table(top_table(compare(earlier, later), later))
