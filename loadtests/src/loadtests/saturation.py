"""Lower tiers that are saturated while the highest is measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from deploytools.load.profile import PROFILES
from deploytools.load.session import LoadSession
from deploytools.settings import current_project
from loadtests.bench import Bench, spawned


@contextmanager
def saturated_lower_tiers(bench: Bench) -> Iterator[None]:
    """Run the other tiers' workers, and meanwhile saturate each from a process of its own."""
    with bench.workers({tier.name: bench.command(tier) for tier in bench.lower}), spawned(saturate_lower_tiers):
        yield


def saturate_lower_tiers() -> None:
    """Saturate the lower tiers with the application's own tasks until this process is ended."""
    project = current_project()
    bench = Bench.of(project, project.state)
    session = LoadSession(app=bench.app, fleet=bench.fleet, profile=PROFILES["flood"], workload=bench.workload)
    session.start()
    for seed, tier in enumerate(bench.lower):
        Thread(target=session.offer, args=(tier,), kwargs={"seed": seed}).start()
