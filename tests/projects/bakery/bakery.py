"""Tasks that need a hot oven. The diary holds a line for each thing that was done: what, in which process."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from celery import Celery

from deploytools.worker import install, warm_up

app = install(Celery("bakery"))


def note(what: str) -> None:
    with Path(os.environ["BAKERY_DIARY"]).open("a") as diary:
        diary.write(f"{what} {os.getpid()} {os.getppid()}\n")


@warm_up(tiers=["oven"], time_limit_seconds=float(os.environ.get("BAKERY_LIMIT_SECONDS", "30")))
def heat() -> None:
    note("heat")
    match os.environ.get("BAKERY_OVEN", "works"):
        case "is broken":
            raise RuntimeError("no gas:\nask the landlord")
        case "breaks" if Path("broken").exists():
            raise RuntimeError("no gas")
        case "explodes":
            os._exit(7)
        case "is stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(float(os.environ.get("BAKERY_HEAT_SECONDS", "0")))
    note("hot")


@warm_up
def open_shop() -> None:
    note("open")


@app.task
def bake(seconds: float = 0.0) -> None:
    import_module("flour")  # as tasks do that import late
    note("bake")
    time.sleep(seconds)


@app.task
def insist(seconds: float) -> None:
    """Run to the end, whatever signal comes."""
    over_at = time.monotonic() + seconds
    while time.monotonic() < over_at:
        with suppress(BaseException):
            time.sleep(over_at - time.monotonic())


@app.task
def sell() -> None:
    note("sell")
