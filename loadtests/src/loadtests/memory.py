"""PSS of a fleet: idle, and after each pool process has run a number of tasks of each kind of its tier."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import msgspec

from deploytools.fleet import Fleet, Tier
from deploytools.load.profile import Profile, Saturate
from deploytools.load.session import LoadSession
from deploytools.settings import current_project, use_environment
from deploytools.testing.ledger import Entry, Ledger
from deploytools.testing.processes import Running
from deploytools.testing.waiting import wait_until
from loadtests.bench import Bench, Place, pss_mebibytes, ready_workers, spawned

RECORDER = "--include=deploytools.testing.recorder"  # writes down which process ran which task
SATURATE = Profile(name="memory", tightest=Saturate(), others=Saturate(), seconds=0)
SETTLE_INTERVAL_SECONDS, SETTLED_FRACTION, SETTLE_DEADLINE_SECONDS = 0.5, 0.01, 60.0
# 100 tasks of each kind in each process of a tier take half a minute on two cores.
WORK_DEADLINE_SECONDS, WORK_POLL_SECONDS = 600.0, 1.0
NEVER = 1_000_000  # tasks: a process that is replaced has to begin again


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """PSS of all workers and pool processes of a fleet, in MiB."""

    idle: float
    after_work: float


def fixed_fleet(fleet: Fleet) -> Fleet:
    """Return a fleet whose pools neither grow, shrink nor recycle."""
    return msgspec.structs.replace(fleet, tiers=tuple(_fixed(tier) for tier in fleet))


def _fixed(tier: Tier) -> Tier:
    scale = msgspec.structs.replace(tier.autoscale, min=tier.concurrency, max=tier.concurrency)
    return msgspec.structs.replace(tier, autoscale=scale, max_tasks_per_child=NEVER)


def measure_memory(
    place: Place, commands: Mapping[str, Sequence[str]], *, env: Mapping[str, str], tasks: int
) -> Memory:
    """Start workers of a fixed fleet with an empty state folder, read their memory, let them work, read it again."""
    folder = place.folder / str(time.monotonic_ns())
    folder.mkdir()
    own = {"DEPLOYTOOLS_STATE": str(folder), "DEPLOYTOOLS_LEDGER": str(folder / "ledger")}
    recorded = {name: (*argv, RECORDER) for name, argv in commands.items()}
    with ready_workers(recorded, folder=folder, env={**env, **own}) as workers:
        processes = sum(1 + tier.concurrency for tier in place.project.fleet())
        idle = settled_mebibytes(workers, processes)
        # In a process of its own, because the application reads its environment once.
        with spawned(run_each_kind, {**place.environment, **own}, tasks) as sender:
            sender.join()
        if sender.exitcode:
            raise RuntimeError("the processes have not run all tasks: the traceback of their sender is above")
        return Memory(idle=idle, after_work=settled_mebibytes(workers, processes))


def settled_mebibytes(workers: Sequence[Running], processes: int) -> float:
    """Wait until the pools are whole and two readings in a row agree; return the last."""
    give_up_at, before, now, count = time.monotonic() + SETTLE_DEADLINE_SECONDS, 0.0, 0.0, 0
    while time.monotonic() < give_up_at:
        before, (now, count) = now, pss_mebibytes(workers)
        if count == processes and abs(now - before) < SETTLED_FRACTION * now:
            return now
        time.sleep(SETTLE_INTERVAL_SECONDS)
    raise TimeoutError(f"memory has not settled: {count} of {processes} processes, {now:.0f} MiB")


def run_each_kind(environment: Mapping[str, str], tasks: int) -> None:
    """Send the application's own tasks, one tier after another, until each process has run enough of each kind."""
    use_environment(**environment)
    project = current_project()
    bench = Bench.of(project, project.state)
    for tier in bench.fleet:
        saturate(bench, tier, tasks, Ledger(Path(environment["DEPLOYTOOLS_LEDGER"])))


def saturate(bench: Bench, tier: Tier, tasks: int, ledger: Ledger) -> None:
    """Saturate a tier with all kinds of its tasks, mixed, until each process has run so many of each kind."""
    session = LoadSession(app=bench.app, fleet=bench.fleet, profile=SATURATE, workload=bench.workload)
    kinds = {offer.task for offer in bench.workload.of_tier(bench.fleet, tier)}
    sender = Thread(target=session.offer, args=(tier,), kwargs={"seed": 1})
    session.start()
    sender.start()
    try:
        wait_until(
            lambda: count_processes(ledger.entries("ended"), kinds, tasks) >= tier.concurrency,
            f"{tasks} tasks of each kind in each process of tier {tier.name}",
            deadline_seconds=WORK_DEADLINE_SECONDS,
            poll_seconds=WORK_POLL_SECONDS,
        )
    finally:
        session.drain()
        sender.join()


def count_processes(ended: Sequence[Entry], kinds: set[str], tasks: int) -> int:
    """Return how many processes have run at least so many tasks of each kind."""
    ran = Counter((entry.pid, entry.task) for entry in ended)
    return sum(all(ran[pid, kind] >= tasks for kind in kinds) for pid in {entry.pid for entry in ended})
