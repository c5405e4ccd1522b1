"""The hardened Redis transport against kombu's own: `python -m loadtests.transports [--pairs 5]`.

drain    no-ops a second of one worker of two processes, from a queue filled before
round trip milliseconds from publish to start at 50 a second on an idle worker, median
publish  calls of send_task a second; bulk: tasks a second by `deploytools.publish.send_many`
idle     commands a second that an idle worker costs the broker

Everything but the transport is alike; no process is replaced meanwhile. Sides take turns, who goes first alternates,
the first turn warms up.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Timer

import kombu.pools
from celery import Celery
from rich.console import Console
from rich.table import Table

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.commands import worker_command
from deploytools.fleet import Fleet, load_fleet
from deploytools.load.profile import Profile, Stream
from deploytools.load.samples import Sample
from deploytools.load.session import LoadSession
from deploytools.load.workload import TaskTemplate, Workload
from deploytools.publish import send_many
from deploytools.settings import environment_with, use_environment
from deploytools.testing.processes import Running, running
from deploytools.testing.waiting import wait_until
from deploytools.worker import install
from deploytools.worker.synthetic import SERVE
from loadtests.report import benchmark_options, benchmark_table, span, take_turns

NO_OPS, BACKLOG, CALLS, HOPS, HOPS_PER_SECOND, IDLE_SECONDS = 15000, 1500, 1500, 150, 50.0, 5.0
FLEET = """
[fleet]
app = "bare:app"
default_tier = "only"
transport = "{transport}"
[tiers.only]
queue = "only"
tasks = ["bare.*"]
start_within_seconds = 1
concurrency = 2
autoscale = {{ min = 2, max = 2 }}
max_tasks_per_child = 1000000
time_limit_seconds = 30
"""
APP = "from celery import Celery\nfrom deploytools.worker import install\napp = install(Celery('bare'))\n"
# measure → (digits, whether more is better, bar for ours / stock)
MEASURES = {
    "drain, tasks/s": (0, 1.8),
    "round trip p50, ms": (2, 0.75),
    "publish, calls/s": (0, 1.3),
    "bulk publish, tasks/s": (0, None),
    "idle, commands/s": (1, None),
}


@dataclass(frozen=True, kw_only=True)
class Side:
    """A transport, and where its fleet is."""

    name: str
    folder: Path
    broker: EmbeddedBroker
    environment: Mapping[str, str] = field(default_factory=dict)

    def measure(self) -> dict[str, float]:
        """Measure everything once."""
        fleet, app = self._prepare()
        publish = self._calls_per_second(app)
        bulk = self._bulk_per_second(app)
        drain = self._drain(fleet, app)
        with self._worker(fleet):
            round_trip = self._round_trip(fleet, app)
            idle = self._idle()
        app.close()
        return dict(zip(MEASURES, (drain, round_trip * 1000, publish, bulk, idle), strict=True))

    @contextmanager
    def draining(self, backlogs: Mapping[str, Mapping[str, str]]) -> Iterator[Callable[[str], float]]:
        """Keep a worker; yield what gives it a backlog, by name, and returns its no-ops a second.

        Backlogs are name → the headers of its tasks.
        """
        fleet, app = self._prepare()
        client = self.broker.client()
        for name, headers in backlogs.items():
            send_many(app, SERVE, [(0,)] * BACKLOG, headers=dict(headers))
            client.rename("only", name)

        def drain(name: str) -> float:
            client.copy(name, f"{name}.copy")
            began_at = time.perf_counter()
            client.rename(f"{name}.copy", "only")
            wait_until(lambda: client.llen("only") == client.hlen("unacked") == 0, "the end", poll_seconds=0.005)
            return BACKLOG / (time.perf_counter() - began_at)

        with self._worker(fleet):
            yield drain
        app.close()

    def _prepare(self) -> tuple[Fleet, Celery]:
        self.broker.client().flushall()
        use_environment(DEPLOYTOOLS_FLEET=str(self.folder / "fleet.toml"))
        fleet = load_fleet(self.folder / "fleet.toml")
        kombu.pools.reset()
        return fleet, install(Celery("bench", broker=self.broker.address.url, set_as_current=False), fleet)

    def _calls_per_second(self, app: Celery) -> float:
        app.send_task(SERVE, (0,))
        began_at = time.perf_counter()
        for _ in range(CALLS):
            app.send_task(SERVE, (0,))
        seconds = time.perf_counter() - began_at
        self.broker.client().delete("only")
        return CALLS / seconds

    def _bulk_per_second(self, app: Celery) -> float:
        began_at = time.perf_counter()
        send_many(app, SERVE, [(0,)] * CALLS)
        seconds = time.perf_counter() - began_at
        assert self.broker.client().llen("only") == CALLS  # noqa: S101
        self.broker.client().delete("only")
        return CALLS / seconds

    def _drain(self, fleet: Fleet, app: Celery) -> float:
        send_many(app, SERVE, [(0,)] * NO_OPS)
        client = self.broker.client()
        with self._worker(fleet):
            wait_until(lambda: client.llen("only") < NO_OPS - 200, "the drain to be under way", poll_seconds=0.002)
            left, began_at = client.llen("only"), time.perf_counter()
            wait_until(lambda: client.llen("only") == client.hlen("unacked") == 0, "the end", poll_seconds=0.005)
            return float(left / (time.perf_counter() - began_at))

    def _round_trip(self, fleet: Fleet, app: Celery) -> float:
        waits: list[float] = []

        def hear(sample: Sample) -> None:
            if sample.started_at and sample.published_at:
                waits.append(sample.started_at - sample.published_at)

        shape = Stream(per_second=HOPS_PER_SECOND, even=True)
        session = LoadSession(
            app=app,
            fleet=fleet,
            profile=Profile(name="round trip", tightest=shape, others=shape, seconds=0),
            workload=Workload(offers=(TaskTemplate(task=SERVE, make_arguments=lambda _: (0,)),)),
            on_publish=lambda *_: session.stop_sending() if len(session.account.samples) > HOPS else None,
            on_report=hear,
        )
        session.start()
        session.offer(fleet.tier("only"), seed=1)
        session.drain()
        return median(waits)

    def _idle(self) -> float:
        sent = 0
        with self.broker.client() as client, client.monitor() as monitor:
            give_up_at = time.monotonic() + IDLE_SECONDS
            Timer(IDLE_SECONDS, self.broker.client().ping).start()  # the last line
            while time.monotonic() < give_up_at:
                sent += monitor.next_command()["client_type"] != "lua"  # what a script does is one command
        return sent / IDLE_SECONDS

    @contextmanager
    def _worker(self, fleet: Fleet) -> Iterator[Running]:
        line = worker_command(fleet, fleet.tier("only"), log_level="warning", node="bench").argv
        plain = [word for word in line if not word.startswith("--autoscale")]
        env = environment_with(CELERY_BROKER_URL=self.broker.address.url, **self.environment)
        with running(plain, log_path=self.folder / "worker.log", cwd=self.folder, env=env) as worker:
            client = self.broker.client()
            wait_until(
                lambda: (
                    any("blmove" in c["cmd"] or "brpop" in c["cmd"] or "eval" in c["cmd"] for c in client.client_list())
                    or client.hlen("unacked")
                ),
                "the worker to consume",
            )
            yield worker
            worker.stop()


@contextmanager
def sides() -> Iterator[list[Side]]:
    """Prepare both, on one broker in a temporary folder."""
    with TemporaryDirectory(prefix="transports-") as name:
        broker = EmbeddedBroker(state=Path(name) / "state")
        prepared = []
        for transport in ("stock", "hardened"):
            folder = Path(name) / transport
            folder.mkdir()
            (folder / "fleet.toml").write_text(FLEET.format(transport=transport))
            (folder / "bare.py").write_text(APP)
            prepared.append(Side(name=transport, folder=folder, broker=broker))
        try:
            broker.start()
            yield prepared
        finally:
            broker.stop()


def compare(pairs: int) -> dict[str, list[dict[str, float]]]:
    """Return side → its measures, one a turn."""
    with sides() as both:
        return take_turns({side.name: side.measure for side in both}, pairs, "measuring", warm_up=True)


def table(results: Mapping[str, list[dict[str, float]]]) -> Table:
    """Return medians, ranges, ratios and bars."""
    rows = benchmark_table("Transports: median (min-max)", ("", "stock", "hardened", "ratio", "bar"))
    middle: dict[tuple[str, str], float] = {}
    for measure, (digits, bar) in MEASURES.items():
        values = {side: [turn[measure] for turn in turns] for side, turns in results.items()}
        middle |= {(side, measure): median(v) for side, v in values.items()}
        spans = [span(v, digits) for v in values.values()]
        ratio = middle["hardened", measure] / middle["stock", measure]
        rows.add_row(measure, *spans, f"{ratio:.2f}", "" if bar is None else f"{bar:g}")
    bulk = middle["hardened", "bulk publish, tasks/s"] / middle["stock", "publish, calls/s"]
    rows.add_row("our bulk / stock's calls", "", "", f"{bulk:.2f}", "2.5")
    return rows


def main() -> int:
    """Compare, and print."""
    options = benchmark_options("transports", "Compare the Redis transports.").parse_args()
    results = compare(options.pairs)
    if options.json:
        print(json.dumps(results))
    else:
        Console().print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
