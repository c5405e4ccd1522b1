"""Ours beside other task queues, on one Redis: `python -m loadtests.peers [--rounds 3]`.

burst    an idle fleet gets 200 tasks of 5 ms at once on its high tier: p99 queue wait
flood    medium and low have a backlog of 50 ms tasks: p50 and p99 queue wait on high, which gets 25 tasks of 10 ms a
         second (Poisson)
publish  calls a second of one process, for no-ops on all tiers
drain    no-ops a second, all slots, workers stopped (SIGSTOP) while they were published

All have six slots, two a tier where tiers have workers of their own, and the same task, which notes its start in a
file. Each peer, its settings and where they are recommended: `loadtests/peers`. Each runs in an environment of its own.
Peers take turns, another one begins each round, the first round warms up. The table gives median, range, and the
multiple of the bare round trip.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import redis
from uv import find_uv_bin

from deploytools.broker.embedded import find_server
from deploytools.settings import environment_with
from deploytools.testing.processes import Running, running
from deploytools.testing.waiting import StillWaitingError, wait_until
from loadtests.report import benchmark_options, span, take_turns

FOLDER = Path(__file__).parents[2] / "peers"
TIERS = ("high", "medium", "low")  # as in `harness`
RECORD = struct.Struct("<qdd")
BURST, BURST_SECONDS = 200, 0.005
FLOOD, FLOOD_PER_SECOND, FLOOD_SECONDS = 100, 25.0, 0.01
BACKLOG, BACKLOG_SECONDS = 540, 0.05  # of medium and low together: 4.5 s for all slots
NO_OPS = 900
DEADLINE_SECONDS = 40.0
PEERS = {
    "bare round trip": "bare_round_trip",
    "ours": "deploytools_fleet",
    "Celery, guide's flags": "celery_guide",
    "Celery, defaults": "celery_defaults",
    "dramatiq": "dramatiq_peer",
    "rq": "rq_peer",
    "arq": "arq_peer",
    "taskiq": "taskiq_peer",
    "huey": "huey_peer",
    "saq": "saq_peer",
}
# measure → (unit, digits)
MEASURES = {
    "burst, wait p99": ("ms", 0),
    "flood, wait p50": ("ms", 1),
    "flood, wait p99": ("ms", 0),
    "publish": ("calls/s", 0),
    "drain": ("tasks/s", 0),
}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A task queue: its name, its file, and the interpreter of its environment."""

    name: str
    path: Path
    python: str

    @classmethod
    def prepare(cls, name: str) -> "Peer":
        """Build its environment, if its file asks for one."""
        path = FOLDER / f"{PEERS[name]}.py"
        if not path.read_text().startswith("# /// script"):
            return cls(name=name, path=path, python=sys.executable)
        subprocess.run([find_uv_bin(), "sync", "--quiet", "--script", str(path)], check=True)
        found = subprocess.run(
            [find_uv_bin(), "python", "find", "--script", str(path)], check=True, capture_output=True, text=True
        )
        return cls(name=name, path=path, python=found.stdout.strip())


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One peer's turn: its workers run."""

    peer: Peer
    env: Mapping[str, str]
    records: Path
    workers: Sequence[Running]

    def measure(self) -> dict[str, float]:
        """Measure everything once."""
        for tier in TIERS:
            self.offer(tier, 1)
        self._wait_for(len(TIERS))
        burst = self._waits_of(self.offer, "high", BURST, seconds=BURST_SECONDS)
        self.offer("medium,low", BACKLOG, seconds=BACKLOG_SECONDS)
        flood = self._waits_of(self.offer, "high", FLOOD, per_second=FLOOD_PER_SECOND, seconds=FLOOD_SECONDS)
        self._wait_for(len(TIERS) + BURST + BACKLOG + FLOOD)
        publish, drain = self._publish_and_drain()
        values = (_p99(burst) * 1000, median(flood) * 1000, _p99(flood) * 1000, publish, drain)
        return dict(zip(MEASURES, values, strict=True))

    def offer(self, tiers: str, count: int, *, per_second: float = 0.0, seconds: float = 0.0) -> float:
        """Publish tasks by the peer's own client; return calls a second."""
        words = ("offer", tiers, str(count), str(per_second), str(seconds), "1")
        return float(_ask(self.peer, self.env, *words))

    def _waits_of(self, offer: Any, tier: str, count: int, **options: float) -> list[float]:
        before = len(self._starts(tier))
        offer(tier, count, **options)
        wait_until(
            lambda: len(self._starts(tier)) >= before + count,
            f"{self.peer.name} to start {count} {tier} tasks",
            deadline_seconds=DEADLINE_SECONDS,
        )
        return [started_at - intended_at for intended_at, started_at in self._starts(tier)[before:]]

    def _publish_and_drain(self) -> tuple[float, float]:
        before = self._count()
        for worker in self.workers:
            os.killpg(worker.pid, signal.SIGSTOP)
        publish = self.offer(",".join(TIERS), NO_OPS)
        began_at = time.time()
        for worker in self.workers:
            os.killpg(worker.pid, signal.SIGCONT)
        try:
            self._wait_for(before + NO_OPS)
        except StillWaitingError:
            return publish, (self._count() - before) / DEADLINE_SECONDS
        return publish, NO_OPS / (max(at for tier in TIERS for _, at in self._starts(tier)) - began_at)

    def _wait_for(self, count: int) -> None:
        wait_until(
            lambda: self._count() >= count,
            f"{self.peer.name} to start {count} tasks (is {self._count()}): see {self.records.parent}",
            deadline_seconds=DEADLINE_SECONDS,
        )

    def _count(self) -> int:
        return self.records.stat().st_size // RECORD.size if self.records.exists() else 0

    def _starts(self, tier: str) -> list[tuple[float, float]]:
        if not self.records.exists():
            return []
        data = self.records.read_bytes()
        rows = RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])
        return [(intended_at, started_at) for index, intended_at, started_at in rows if TIERS[index] == tier]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a server on the loopback interface, durable as the embedded broker is; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": ""}
    argv = [str(find_server()), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    url = f"redis://127.0.0.1:{port}/0"
    with running(argv, log_path=folder / "server.log"):
        client = redis.Redis.from_url(url)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        wait_until(answers, "the server to answer")
        client.close()
        yield url


def take_turn(peer: Peer, url: str, folder: Path) -> dict[str, float]:
    """Let a peer's workers run, and measure."""
    folder.mkdir(exist_ok=True)
    records = folder / "records"
    records.unlink(missing_ok=True)
    with redis.Redis.from_url(url) as client:
        client.flushall()
    env = environment_with(
        CELERY_BROKER_URL=url,
        PEERS_URL=url,
        PEERS_RECORDS=str(records),
        PYTHONPATH=str(FOLDER),
        PYTHONWARNINGS="ignore",
    )
    with ExitStack() as stack:
        workers = [
            stack.enter_context(running(argv, log_path=folder / f"{number}.log", cwd=FOLDER, env=env))
            for number, argv in enumerate(json.loads(_ask(peer, env, "describe")))
        ]
        return Turn(peer=peer, env=env, records=records, workers=workers).measure()


def compare(names: Sequence[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return peer → its measures, one a round."""
    with TemporaryDirectory(prefix="peers-") as folder:
        peers = [Peer.prepare(name) for name in names]
        with redis_server(Path(folder)) as url:
            takes = {peer.name: partial(take_turn, peer, url, Path(folder) / peer.path.stem) for peer in peers}
            return take_turns(takes, rounds, "measuring", warm_up=True)


def table(results: Mapping[str, list[dict[str, float]]]) -> str:
    """Return the table in Markdown: median (min-max), and multiples of the bare round trip."""
    heads = [f"{measure}, {unit}" for measure, (unit, _) in MEASURES.items()]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    floor = results.get("bare round trip", [])
    for name, turns in results.items():
        cells = []
        for measure, (_, digits) in MEASURES.items():
            values = [turn[measure] for turn in turns]
            times = median(values) / median([turn[measure] for turn in floor]) if floor else 1.0
            cells.append(f"{span(values, digits)} {times:.2g}x")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Compare, and print."""
    parser = benchmark_options("peers", "Compare task queues on one Redis.", turns="rounds", default=3)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER", help="not all of them")
    options = parser.parse_args()
    results = compare(options.only, options.rounds)
    print(json.dumps(results) if options.json else table(results))
    return 0


def _ask(peer: Peer, env: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [peer.python, str(peer.path), *words], env=dict(env), cwd=FOLDER, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{peer.name}: {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip().splitlines()[-1]


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[-1]


if __name__ == "__main__":
    sys.exit(main())
