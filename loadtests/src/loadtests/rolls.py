"""Rolling deploys under load: `python -m loadtests.rolls [--rolls 3] [--rate 50] [--grace 2]`.

The compose file of this repository with an image built now, synthetic tasks of 0.1 s to 8 s, half of them for the tier
with the tightest promise, and the whole fleet rolled again and again. Prints, by tier, what was accepted, ended and
lost, what ended twice, and the waits. Exit code 1 if a task was lost or a promise broken.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Thread

from rich.console import Console
from rich.table import Table

from deploytools.deploy.fleet import roll_fleet
from deploytools.load.profile import Profile, Stream
from deploytools.load.result import TierLoad, tier_load
from deploytools.load.session import LoadSession
from deploytools.load.workload import TaskTemplate, Workload
from deploytools.settings import current_project
from deploytools.testing.stack import ExternalPublisher, Stack, built
from deploytools.worker.synthetic import SERVE

MIN_SECONDS, MAX_SECONDS, TAIL = 0.1, 8.0, 1.5


def heavy_tailed(random: Random) -> tuple[float]:
    """Draw how long a task takes, from a Pareto distribution cut off at 8 s: 0.27 s on average, 3 % over 1 s."""
    most = 1 - (MIN_SECONDS / MAX_SECONDS) ** TAIL
    return (MIN_SECONDS / (1 - random.random() * most) ** (1 / TAIL),)


def main() -> int:
    """Roll under load, and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.rolls", description="Measure what rolls do to waits.")
    parser.add_argument("--rolls", type=int, default=3, metavar="N", help="rolls of the whole fleet, one after another")
    parser.add_argument("--rate", type=float, default=50.0, metavar="R", help="tasks a second, over all tiers")
    parser.add_argument("--grace", type=float, metavar="S", help="seconds for running tasks; default: each tier's own")
    told = parser.parse_args()
    project, console = current_project(), Console(stderr=True)
    fleet = project.fleet()
    with (
        console.status("building the image") as status,
        TemporaryDirectory() as folder,
        built(project.root, "celery-fleet:rolls") as image,
        Stack.of(project, folder=Path(folder) / "project", image=image) as stack,
    ):
        status.update("starting the stack")
        stack.up()
        with loaded(stack, rate=told.rate) as session:
            for roll in range(told.rolls):
                status.update(f"roll {roll + 1} of {told.rolls}")
                roll_fleet(stack.engine, fleet, tier="", grace_seconds=told.grace, say=console.print)
            status.update("waiting for the last tasks")
    account = session.account
    tiers = [tier_load(each, [s for s in account.samples.values() if s.tier == each.name], 0) for each in fleet]
    Console().print(table(tiers, duplicates=account.duplicates))
    problems = [problem for tier in tiers for problem in tier.problems()]
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


@contextmanager
def loaded(stack: Stack, *, rate: float) -> Iterator[LoadSession]:
    """Offer tasks to each tier until the end of the block; then wait for the last of them."""
    fleet = stack.fleet
    half, others = Stream(per_second=rate / 2), Stream(per_second=rate / 2 / (len(fleet.tiers) - 1))
    session = LoadSession(
        app=ExternalPublisher.of(stack).app,
        fleet=fleet,
        profile=Profile(name="rolls", tightest=half, others=others, seconds=0, drain_seconds=120),
        workload=Workload(
            offers=tuple(TaskTemplate(task=SERVE, make_arguments=heavy_tailed, queue=tier.queue) for tier in fleet)
        ),
    )
    session.start()
    publishers = [Thread(target=session.offer, args=(tier,), kwargs={"seed": 8}, daemon=True) for tier in fleet]
    for publisher in publishers:
        publisher.start()
    try:
        yield session
    finally:
        session.drain()
        for publisher in publishers:
            publisher.join()


def table(tiers: Sequence[TierLoad], *, duplicates: int) -> Table:
    """Return the account for people."""
    shown = Table(title=f"{sum(tier.sent for tier in tiers)} tasks, {duplicates} of them ended twice; waits by tier")
    for name in ("tier", "accepted", "ended", "lost", "p50, s", "p99, s", "max, s", "promise, s", "held"):
        shown.add_column(name, justify="left" if name == "tier" else "right")
    for tier in tiers:
        counts = (str(count) for count in (tier.sent, tier.done, tier.lost))
        waits = (f"{tier.wait.percentiles[name] or 0:.3f}" for name in ("p50", "p99", "p100"))
        shown.add_row(tier.name, *counts, *waits, f"{tier.promise_seconds:g}", "yes" if tier.held else "no")
    return shown


if __name__ == "__main__":
    sys.exit(main())
