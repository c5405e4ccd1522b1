"""What ran where and when, read from the file that `deploytools.testing.recorder` writes."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# A task in one of these states is over; RETRY means that it comes again.
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Something that happened to a task: `received`, `started`, `ended` or `unknown`, at `at` seconds of the epoch.

    `redeliveries`, of what was received: how often its lease had run out before; see `deploytools.transport`.
    """

    event: str
    id: str
    task: str
    node: str
    queue: str
    state: str
    pid: int
    at: float
    redeliveries: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file's contents, as far as it has got; each question reads it anew."""

    path: Path

    def entries(self, event: str | None = None) -> list[Entry]:
        """Return what happened, in the order it was written; of one kind, or all."""
        if not self.path.exists():
            return []
        whole = self.path.read_text().rpartition("\n")[0]
        entries = (Entry(**json.loads(line)) for line in whole.splitlines())
        return [entry for entry in entries if event in (None, entry.event)]

    def starts(self, task_id: str) -> list[Entry]:
        """Return where and when a task was started, once for each time."""
        return [entry for entry in self.entries("started") if entry.id == task_id]

    def over(self) -> dict[str, str]:
        """Return task id → final state, of those that are over."""
        return {entry.id: entry.state for entry in self.entries("ended") if entry.state in FINAL_STATES}

    def most_held(self, node: str, *, of: Iterable[str] | None = None) -> int:
        """Return how many tasks (`of`: of these ids) a worker held at most at one time: received, not ended."""
        wanted = None if of is None else set(of)
        return most_held(
            entry for entry in self.entries() if entry.node == node and (wanted is None or entry.id in wanted)
        )

    def shares(self) -> dict[str, int]:
        """Return node → how many tasks it started."""
        return dict(Counter(entry.node for entry in self.entries("started")))


def most_held(entries: Iterable[Entry]) -> int:
    """Return the largest number of tasks that were received and not ended at one time."""
    held: set[str] = set()
    most = 0
    for entry in entries:
        if entry.event == "received":
            held.add(entry.id)
        elif entry.event == "ended":
            held.discard(entry.id)
        most = max(most, len(held))
    return most
