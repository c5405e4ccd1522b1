"""Does the suite notice? `python tests/mutants.py [-k NAME]` breaks one thing at a time and expects failing tests.

Each mutant is a text replaced in a copy of the toolkit or of the test project; the tests named beside it run on the
embedded broker. A mutant is killed when they fail and their output names the tier. Exit code 1: one survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploytools.supervised import end_with_supervisor, supervised

ROOT = Path(__file__).parents[1]
TOOLKIT = "packages/deploytools/src"
FLEET = "tests/projects/shop/fleet.toml"
SETTINGS = f"{TOOLKIT}/deploytools/worker/settings.py"
COPIED = ("pyproject.toml", TOOLKIT, "tests")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One thing broken: `old` in a file becomes `new`; `tests` (a -k expression) shall fail, naming `tier`."""

    name: str
    path: str
    old: str
    new: str
    tests: str
    tier: str = "counter"


MUTANTS = (
    Mutant(
        name="route: a task declared by another tier",
        path=FLEET,
        old='["shop.nap"]',
        new='["shop.sleep"]',
        tests="test_an_explicit_queue",
        tier="store_room",
    ),
    Mutant(
        name="route: another default tier",
        path=FLEET,
        old='default_tier = "counter"',
        new='default_tier = "store_room"',
        tests="test_a_task_no_tier_declares",
    ),
    Mutant(
        name="routes: ignored by publishers",
        path=SETTINGS,
        old='"task_routes": fleet.routes()',
        new='"task_routes": {}',
        tests="test_an_explicit_queue",
        tier="store_room",
    ),
    Mutant(
        name="queues: a worker takes every tier's",
        path=f"{TOOLKIT}/deploytools/commands.py",
        old="queues=[tier.queue],",
        new="queues=[one.queue for one in fleet],",
        tests="leaves_the_other_tiers",
        tier="store_room",
    ),
    Mutant(
        name="exchange: shared by all queues, and the key too",
        path=f"{TOOLKIT}/deploytools/fleet.py",
        old="return self.name",
        new='return "celery"',
        tests="through_an_exchange",
        tier="store_room",
    ),
    Mutant(
        name="queues: made up at the publisher",
        path=SETTINGS,
        old='"task_create_missing_queues": False',
        new='"task_create_missing_queues": True',
        tests="misspelt_queue",
        tier="contuer",
    ),
    Mutant(
        name="prefetch: multiplier 2",
        path=FLEET,
        old="time_limit_seconds = 30",
        new="time_limit_seconds = 30\nprefetch_multiplier = 2",
        tests="holds_one_task_for_each",
    ),
    Mutant(
        name="prefetch: early acknowledgement",
        path=SETTINGS,
        old='"task_acks_late": True',
        new='"task_acks_late": False',
        tests="cannot_run_stays_in_the_broker or holds_one_task_for_each",
    ),
    Mutant(
        name="reconnect: prefetch reduced to the processes there are",
        path=SETTINGS,
        old='"worker_enable_prefetch_count_reduction": False',
        new='"worker_enable_prefetch_count_reduction": True',
        tests="grows_after_its_broker_was_away",
    ),
    Mutant(
        name="autoscale: lower maximum",
        path=FLEET,
        old="max = 4",
        new="max = 3",
        tests="grows_the_pool_to_its_upper_bound",
    ),
    Mutant(
        name="autoscale: higher maximum",
        path=FLEET,
        old="max = 4",
        new="max = 5",
        tests="grows_the_pool_to_its_upper_bound",
    ),
    Mutant(
        name="autoscale: higher minimum",
        path=FLEET,
        old="min = 1, max = 4",
        new="min = 2, max = 4",
        tests="returns_to_its_lower_bound",
    ),
    Mutant(
        name="autoscale: starts at the minimum",
        path=f"{TOOLKIT}/deploytools/worker/install.py",
        old="UseFastReapPool, StartAtConcurrency, MetricsServerStep}",
        new="UseFastReapPool, MetricsServerStep}",
        tests="starts_at_the_declared_concurrency",
    ),
    Mutant(
        name="autoscale: Celery's own",
        path=SETTINGS,
        old='"worker_autoscaler": "deploytools.worker.autoscaler:Autoscaler",',
        new="",
        tests="returns_to_its_lower_bound",
    ),
    Mutant(
        name="autoscale: busy processes are stopped",
        path=f"{TOOLKIT}/deploytools/worker/autoscaler.py",
        old="self.pool.shrink(1)",
        new="self.pool._pool._pool[0].terminate()",
        tests="busy_process_is_never_stopped",
    ),
)


def survives(mutant: Mutant) -> str:
    """Run a mutant; return why it survived, or nothing."""
    with TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / part, folder / part)
        file = folder / mutant.path
        text = file.read_text()
        if mutant.old not in text:
            return f"{mutant.path} does not hold {mutant.old!r}: correct this mutant"
        file.write_text(text.replace(mutant.old, mutant.new))
        done = run_tests(folder, mutant.tests)
    if done.returncode == 0:
        return f"{mutant.tests}: passed"
    if " failed" not in done.stdout:
        return f"the tests did not run: {(done.stdout + done.stderr)[-500:]}"
    return "" if mutant.tier in done.stdout else f"{mutant.tests}: failed without naming {mutant.tier}"


def run_tests(folder: Path, expression: str) -> subprocess.CompletedProcess[str]:
    """Run the named integration tests of a folder against the toolkit in that folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/integration", "-q", "-x", "--broker", "embedded", "-k", expression],
        cwd=folder,
        env={**os.environ, **supervised(), "PYTHONPATH": str(folder / TOOLKIT)},
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    """Run all mutants, print what became of them."""
    end_with_supervisor()
    parser = argparse.ArgumentParser(description="Break one thing at a time; expect the suite to notice.")
    parser.add_argument("-k", default="", metavar="TEXT", help="only mutants with this in their name")
    chosen = [mutant for mutant in MUTANTS if parser.parse_args().k in mutant.name]
    untouched = run_tests(ROOT, " or ".join(mutant.tests for mutant in chosen))
    if untouched.returncode:
        print(untouched.stdout)
        return 1
    table = Table(title="Mutants", title_justify="left")
    for column in ("broken", "tests", "outcome"):
        table.add_column(column)
    survivors = 0
    for mutant in track(chosen, console=Console(stderr=True)):
        why = survives(mutant)
        survivors += bool(why)
        table.add_row(mutant.name, mutant.tests, f"[red]survived: {why}[/]" if why else "[green]killed[/]")
    Console(width=140).print(table)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
