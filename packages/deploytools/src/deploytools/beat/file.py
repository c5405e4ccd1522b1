"""A scheduler that keeps its state in a file, for brokers that cannot: one a host, and one for each file."""

import fcntl
import sys
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler

from deploytools.beat import metrics

# Celery looks each five minutes at most; this often, so that one that hangs is noticed.
POLL_SECONDS = 5.0


class FileScheduler(PersistentScheduler):
    """Celery's own, which a second beat with the same file does not get past."""

    schedule_filename: str

    def setup_schedule(self) -> None:
        """Lock the file's neighbour for as long as this process lives, then go on."""
        path = Path(f"{self.schedule_filename}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock: Any = path.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(
                f"{self.schedule_filename}: another beat runs with this file: stop it, or set CELERY_BEAT_SCHEDULE"
            )
        metrics.connect()
        super().setup_schedule()

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; return seconds until the next look."""
        metrics.collector.note_look(is_leader=True)
        return min(float(super().tick(*args, **options)), POLL_SECONDS)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send an entry's task."""
        metrics.collector.note_tick(entry.name)
        super().apply_entry(entry, producer=producer)
