"""Ours: the fleet of `fleet.toml` beside this file, with the command lines that `invoke worker.high` would run."""

import os
from pathlib import Path
from typing import Any

from harness import TIERS, main, work

os.environ["DEPLOYTOOLS_FLEET"] = str(Path(__file__).with_name("fleet.toml"))

from celery import Celery

from deploytools.commands import worker_command
from deploytools.fleet import load_fleet
from deploytools.worker import install

app = install(Celery("deploytools_fleet"))
task = app.task(name="peers.work", ignore_result=True)(work)


def send(*arguments: Any) -> None:
    task.apply_async(arguments, queue=arguments[0])


if __name__ == "__main__":
    fleet = load_fleet(Path(os.environ["DEPLOYTOOLS_FLEET"]))
    main([worker_command(fleet, fleet.tier(tier), log_level="warning", node="peers").argv for tier in TIERS], send=send)
