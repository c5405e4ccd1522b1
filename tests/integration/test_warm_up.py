"""Pool processes are warm before their first task: at the start, when a pool grows, recycles, or loses a process."""

import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

from deploytools.testing.brokers import Broker
from deploytools.testing.fleet import FleetUnderTest, Worker
from deploytools.testing.plugin import project_in
from deploytools.testing.waiting import wait_until

BAKERY = Path(__file__).parents[1] / "projects" / "bakery"
CONCURRENCY, MOST = 2, 4

pytestmark = pytest.mark.only_on("embedded")  # nothing here is about the broker


class Line(NamedTuple):
    """A line of the diary: what was done, in which process, and that one's parent."""

    what: str
    pid: int
    parent: int


class Bakery(FleetUnderTest):
    """A fleet whose processes write down when they become warm and what they run."""

    @property
    def path(self) -> Path:
        return self.project.root / "diary"

    def open(self, *options: str, **env: str) -> Worker:
        """Start a worker without waiting for it."""
        return self.launch("oven", *options, BAKERY_DIARY=str(self.path), **env)

    def diary(self) -> list[Line]:
        """Return what was done so far, in order."""
        text = self.path.read_text() if self.path.exists() else ""
        return [Line(what, int(pid), int(parent)) for what, pid, parent in map(str.split, text.splitlines())]

    def lines(self, what: str) -> list[Line]:
        """Return the lines of one kind."""
        return [line for line in self.diary() if line.what == what]

    def bake(self, count: int, seconds: float = 0.0) -> list[str]:
        """Send tasks."""
        return [self.send("bakery.bake", seconds) for _ in range(count)]

    def expect_every_process_warm_before_its_first_task(self) -> None:
        """Expect each process that ran a task to have ended its warm-ups before."""
        by_pid: dict[int, list[str]] = {}
        for line in self.diary():
            by_pid.setdefault(line.pid, []).append(line.what)
        for pid, whats in by_pid.items():
            if "bake" in whats:
                before = list(takewhile(lambda what: what != "bake", whats))
                assert before == ["heat", "hot", "open"], f"process {pid}: {whats}"


@pytest.fixture
def bakery(tmp_path: Path, broker: Broker) -> Iterator[Bakery]:
    root = tmp_path / "bakery"
    shutil.copytree(BAKERY, root)
    with project_in(root, tmp_path) as project, Bakery(project=project, broker=broker) as bakery:
        yield bakery


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def metric(port: int, pattern: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", answer.read().decode(), re.MULTILINE))


def test_modules_are_preloaded_once_before_the_first_fork(bakery: Bakery) -> None:
    worker = bakery.open().wait_until_ready()
    bakery.bake(10)
    bakery.expect_nothing_lost()

    assert [line.pid for line in bakery.lines("flour")] == [worker.program.pid]
    assert bakery.diary()[0].what == "flour"


def test_a_worker_is_ready_when_its_processes_are_and_takes_nothing_before(bakery: Bakery) -> None:
    bakery.bake(4)
    worker = bakery.open(BAKERY_HEAT_SECONDS="1")
    wait_until(lambda: bakery.lines("heat"), "a warm-up to begin")
    depths = set()

    def is_hot() -> bool:
        depths.add(bakery.depth("oven"))
        return len(bakery.lines("hot")) >= CONCURRENCY

    wait_until(is_hot, "the processes to be warm")
    worker.wait_until_ready()
    bakery.expect_nothing_lost()

    assert 4 in depths
    bakery.expect_every_process_warm_before_its_first_task()


def test_only_warm_ups_for_all_tiers_run_in_another_tier(bakery: Bakery) -> None:
    bakery.launch("till", BAKERY_DIARY=str(bakery.path)).wait_until_ready()
    bakery.send("bakery.sell")
    bakery.expect_nothing_lost()

    assert [line.what for line in bakery.diary()] == ["open", "sell"]


def test_a_pool_that_grows_gives_new_processes_nothing_before_they_are_warm(bakery: Bakery) -> None:
    worker = bakery.open(BAKERY_HEAT_SECONDS="0.5").wait_until_ready()
    bakery.bake(30, 0.2)

    bakery.expect_scaled_to(worker, MOST)
    wait_until(lambda: len({line.pid for line in bakery.lines("bake")}) == MOST, "all processes to run tasks")
    bakery.expect_nothing_lost()
    bakery.expect_every_process_warm_before_its_first_task()


def test_a_process_is_recycled_when_its_successor_is_warm(bakery: Bakery) -> None:
    worker = bakery.open("--max-tasks-per-child=5", "--autoscale=2,2", BAKERY_HEAT_SECONDS="1").wait_until_ready()
    began_at = time.monotonic()
    while time.monotonic() - began_at < 6:
        bakery.bake(2, 0.1)
        bakery.wait_until_over()
    bakery.expect_nothing_lost()

    bakery.expect_every_process_warm_before_its_first_task()
    assert len({line.pid for line in bakery.lines("bake")}) > CONCURRENCY, worker.program.log()
    # Two tasks at once never found a process missing: none waited for a warm-up to end.
    waits = [bakery.ledger.starts(id_)[0].at - sent.at for id_, sent in bakery.sent.items()]
    assert max(waits) < 0.8, sorted(waits)[-5:]


def test_without_warm_ups_the_maximum_of_tasks_is_exact(shop_fleet: FleetUnderTest) -> None:
    shop_fleet.start("counter", "--max-tasks-per-child=3")
    shop_fleet.occupy("counter", 60, seconds=0.01)
    shop_fleet.expect_nothing_lost()

    runs = Counter(entry.pid for entry in shop_fleet.ledger.entries("started"))
    assert max(runs.values()) <= 3


def test_the_replacement_of_a_killed_process_is_warm_before_its_first_task(bakery: Bakery) -> None:
    worker = bakery.open(BAKERY_HEAT_SECONDS="0.5").wait_until_ready()
    victim = worker.program.children()[0]
    victim.send_signal(signal.SIGKILL)
    wait_until(lambda: len(bakery.lines("hot")) == CONCURRENCY + 1, "its replacement to be warm")
    bakery.bake(8, 0.05)

    bakery.expect_nothing_lost()
    bakery.expect_every_process_warm_before_its_first_task()


def test_a_warm_up_longer_than_celerys_patience_is_waited_for(bakery: Bakery) -> None:
    worker = bakery.open("--autoscale=2,2", BAKERY_HEAT_SECONDS="10")
    worker.program.wait_for_log("ready.", deadline_seconds=60)
    bakery.bake(4)
    bakery.expect_nothing_lost()
    worker.program.children()[0].send_signal(signal.SIGKILL)  # Celery looks at processes that are started later

    wait_until(lambda: len(bakery.lines("hot")) == CONCURRENCY + 1, "its replacement", deadline_seconds=40)
    assert len(bakery.lines("heat")) == CONCURRENCY + 1
    assert "ERROR" not in re.sub(r"ERROR.* exited with 'signal 9.*", "", worker.program.log())


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"BAKERY_OVEN": "is broken"}, r"warm-up bakery\.heat raised RuntimeError: no gas: ask the landlord in"),
        (
            {"BAKERY_HEAT_SECONDS": "60", "BAKERY_LIMIT_SECONDS": "0.2"},
            r"warm-up bakery\.heat exceeded its time limit of 0\.2 s in",
        ),
        ({"BAKERY_OVEN": "explodes"}, r"warm-up bakery\.heat ended with 7 in"),
    ],
    ids=["raises", "hangs", "dies"],
)
def test_a_warm_up_that_fails_is_told_and_tried_again_ever_more_seldom(
    bakery: Bakery, free_port: int, env: dict[str, str], says: str
) -> None:
    worker = bakery.open(CELERY_METRICS_PORT=str(free_port), **env)
    wait_until(lambda: len(bakery.lines("heat")) >= 3 * CONCURRENCY, "three rounds of tries")
    told = re.findall(rf"ERROR/MainProcess\] {says} pool process \d+: it is replaced in (\S+) s", worker.program.log())

    delays = sorted({round(2 * float(delay)) / 2 for delay in told})
    assert {0.5, 1.0} <= set(delays), worker.program.log()
    failures = metric(free_port, r'celery_worker_warm_up_failures_total\{tier="oven",warm_up="warm-up bakery.heat"\}')
    assert failures >= 2 * CONCURRENCY
    assert not is_ready(free_port)
    assert "Traceback" not in worker.program.log()
    bakery.bake(1)
    assert bakery.depth("oven") == 1

    assert worker.program.stop() == 0
    assert len(bakery.lines("heat")) <= 6 * CONCURRENCY


def test_a_worker_becomes_ready_when_its_warm_up_no_longer_fails(bakery: Bakery, free_port: int) -> None:
    broken = bakery.project.root / "broken"
    broken.touch()
    worker = bakery.open(CELERY_METRICS_PORT=str(free_port), BAKERY_OVEN="breaks")
    worker.program.wait_for_log("raised RuntimeError: no gas", times=CONCURRENCY)
    broken.unlink()

    worker.wait_until_ready()

    wait_until(lambda: is_ready(free_port), "the worker to be ready")
    bakery.bake(4)
    bakery.expect_nothing_lost()


def test_a_pool_whose_growth_fails_goes_on_and_shrinks(bakery: Bakery, free_port: int) -> None:
    worker = bakery.open(CELERY_METRICS_PORT=str(free_port), BAKERY_OVEN="breaks").wait_until_ready()
    (bakery.project.root / "broken").touch()

    bakery.bake(20, 0.2)
    bakery.expect_nothing_lost()

    worker.program.wait_for_log("raised RuntimeError: no gas")
    wait_until(lambda: metric(free_port, r'celery_worker_processes\{.*state="cold"\}') == 0, "the pool to shrink")
    wait_until(lambda: is_ready(free_port), "the worker to be ready with the processes that it has")


def test_a_module_that_cannot_be_preloaded_ends_the_worker_with_one_line(bakery: Bakery) -> None:
    path = bakery.project.root / "fleet.toml"
    path.write_text(path.read_text().replace('["flour"]', '["floor"]'))

    done = bakery.project.command(
        "worker.oven", CELERY_BROKER_URL=bakery.broker.url, BAKERY_DIARY=str(bakery.path), PYTHONWARNINGS="ignore"
    )

    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "celery: fleet file: tiers.oven.preload: 'floor': ModuleNotFoundError: No module named 'floor': "
        "correct the name, or install what it needs"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_without_processes_is_warm_before_it_takes_a_task(bakery: Bakery, pool: str) -> None:
    worker = bakery.start_by_hand("oven", f"--pool={pool}", BAKERY_DIARY=str(bakery.path))
    bakery.bake(2)
    bakery.expect_nothing_lost()

    assert [line.what for line in bakery.diary()][:4] == ["flour", "heat", "hot", "open"]
    assert {line.pid for line in bakery.diary()} == {worker.program.pid}


def test_a_pool_that_shrinks_while_a_successor_starts_goes_on_recycling(bakery: Bakery) -> None:
    worker = bakery.open("--max-tasks-per-child=5", "--autoscale=2,2", BAKERY_HEAT_SECONDS="2").wait_until_ready()

    def bake_until_a_successor_starts() -> bool:
        bakery.bake(1)
        bakery.wait_until_over()
        return len(bakery.lines("heat")) > CONCURRENCY

    wait_until(bake_until_a_successor_starts, "a successor to start")
    bakery.app.control.autoscale(max=1, min=1, destination=[worker.name], reply=True)
    bakery.expect_scaled_to(worker, 1)
    before = len(bakery.lines("heat"))
    bakery.bake(10)
    bakery.expect_nothing_lost()

    wait_until(lambda: len(bakery.lines("heat")) > before, "another successor to start")


def test_a_process_that_survives_the_signal_of_a_revoked_task_stays_the_only_one(bakery: Bakery) -> None:
    worker = bakery.open("--autoscale=2,2").wait_until_ready()
    for _ in range(3):
        ids = [bakery.send("bakery.insist", 1.0) for _ in range(CONCURRENCY)]
        bakery.expect_busy(worker, CONCURRENCY)
        bakery.app.control.revoke(ids, terminate=True, signal="SIGUSR1", destination=[worker.name])
        wait_until(lambda: bakery.busy(worker) == 0, "the tasks to end")
    bakery.bake(4)
    wait_until(lambda: len(bakery.lines("bake")) == 4, "later tasks to run")

    bakery.expect_scaled_to(worker, CONCURRENCY)


@pytest.mark.parametrize("oven", ["works", "is stubborn"])
def test_a_stop_does_not_wait_for_a_warm_up(bakery: Bakery, oven: str) -> None:
    worker = bakery.open(BAKERY_OVEN=oven, BAKERY_HEAT_SECONDS="100", BAKERY_LIMIT_SECONDS="200")
    wait_until(lambda: len(bakery.lines("heat")) == CONCURRENCY, "the warm-ups to begin")

    assert worker.program.stop() == 0

    assert not [line.pid for line in bakery.lines("heat") if Path(f"/proc/{line.pid}").exists()]
