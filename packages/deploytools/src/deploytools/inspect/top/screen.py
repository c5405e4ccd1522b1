"""The live screen."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static

from deploytools.inspect.top.cells import COLUMNS, cells, fleet_line
from deploytools.inspect.top.rows import compare
from deploytools.inspect.top.sample import Sample

REFRESH_SECONDS = 1.0
WINDOW_SAMPLES = 61
# Rates are taken over so many samples: one second alone jumps, a minute tells what is over.
RATE_SAMPLES = 6

Change = Callable[[str, Iterable[str]], None]


class TopScreen(App[None]):
    """A table of tiers that is taken anew each second, in a thread: a broker that hangs does not stop the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("p", "pause", "Pause tier"),
        ("r", "resume", "Resume tier"),
        ("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *, take: Callable[[], Sample], pause: Change, resume: Change) -> None:
        super().__init__()
        self._take, self._pause, self._resume = take, pause, resume
        self._samples: deque[Sample] = deque(maxlen=WINDOW_SAMPLES)
        self._is_asking = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static("asking the fleet ...", id="fleet")
        # One blank between columns, not two around each cell: all columns fit into 80.
        yield DataTable(id="tiers", cursor_type="row", cell_padding=0)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(DataTable).add_columns(*(f"{column} " for column in COLUMNS))
        self.set_interval(REFRESH_SECONDS, self._look)
        self._look()

    def show(self, sample: Sample) -> None:
        """Show the newest sample, against those of the last minute."""
        self._samples.append(sample)
        lately = self._samples[-min(RATE_SAMPLES, len(self._samples))]
        self.query_one("#fleet", Static).update(fleet_line(sample))
        table = self.query_one(DataTable)
        cursor = table.cursor_row
        table.clear()
        for row in compare(self._samples[0], sample, lately=lately):
            table.add_row(*(cell.append(" ") for cell in cells(row)), key=row.tier)
        table.move_cursor(row=cursor)

    def action_pause(self) -> None:
        """Pause the tier under the cursor."""
        self._change(self._pause, "paused")

    def action_resume(self) -> None:
        """Resume the tier under the cursor."""
        self._change(self._resume, "resumed")

    def _look(self) -> None:
        if not self._is_asking:  # the broker is slow: one question at a time
            self._is_asking = True
            self._ask()

    @work(thread=True)
    def _ask(self) -> None:
        try:
            sample = self._take()
            self.call_from_thread(self.show, sample)
        finally:
            self._is_asking = False

    def _change(self, change: Change, done: str) -> None:
        if not self._samples:
            return
        tier = self._samples[-1].tiers[self.query_one(DataTable).cursor_row]
        if tier.workers:
            self._tell(change, tier.name, tier.workers, done)
        else:
            self.notify(f"{tier.name}: no worker of this host to tell", severity="warning")

    @work(thread=True)
    def _tell(self, change: Change, tier: str, workers: tuple[str, ...], done: str) -> None:
        try:
            change(tier, workers)
        except Exception as error:  # noqa: BLE001 — whatever a broker's library raises: the screen stays
            self.call_from_thread(self.notify, f"{tier}: not {done}: {error}", severity="error")
        else:
            self.call_from_thread(self.notify, f"{tier}: {done}")
