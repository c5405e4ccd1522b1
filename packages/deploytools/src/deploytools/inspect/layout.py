"""Tables that stay readable on a narrow terminal: no word, number or path is cut."""

from collections.abc import Iterator, Sequence
from itertools import chain
from textwrap import wrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Blanks between columns: as many as there is room for.
GAPS = (2, 1)


def make_table(title: str, *columns: str, numbers: Sequence[str] = (), caption: str | Text | None = None) -> Table:
    """Return an empty table; the columns named in `numbers` are aligned to the right."""
    table = Table(title=title, caption=caption, box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table; where a column would be narrower than its longest word, print each row as lines instead."""
    console = console or Console()
    title, caption, table.title, table.caption = table.title, table.caption, None, None
    if title:
        console.print(title, style="bold", soft_wrap=True, highlight=False)
    if _fit(table, console):
        console.print(table)
    else:
        for line in _records(table, console):
            console.print(line, soft_wrap=True)
    if caption:
        console.print(caption, highlight=False)


def wrap_words(text: str, width: int, *, indent: int = 0) -> str:
    """Wrap text between words; a word that is longer than a line, such as a path, stays whole."""
    blank = " " * indent
    lines = wrap(
        text, width, initial_indent=blank, subsequent_indent=blank, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _fit(table: Table, console: Console) -> bool:
    """Give each column a width; return False where there is no room for the longest words."""
    columns = [[text.plain for text in texts] for texts in _texts(table, console)]
    needed = [max(len(word) for word in " ".join(texts).split() or [""]) for texts in columns]
    wanted = [max(map(len, texts)) for texts in columns]
    for gap in GAPS:
        spare = console.width - sum(needed) - gap * (len(columns) - 1)
        if spare >= 0:
            break
    else:
        return False
    table.padding = (0, gap, 0, 0)
    for column, need, want in zip(table.columns, needed, wanted, strict=True):
        column.width = need + min(spare, want - need)
        spare -= column.width - need
    return True


def _records(table: Table, console: Console) -> Iterator[Text]:
    columns = _texts(table, console)
    label_width = max(len(texts[0].plain) for texts in columns) + GAPS[0]
    for row in zip(*(texts[1:] for texts in columns), strict=True):
        for (label, *_), value in zip(columns, row, strict=True):
            if not value:
                continue
            lines = wrap_words(value.plain, console.width - label_width).split("\n")
            shown = value if len(lines) == 1 else Text(f"\n{' ' * label_width}".join(lines))
            yield Text.assemble((label.plain.ljust(label_width), "bold"), shown)
        yield Text()


def _texts(table: Table, console: Console) -> list[list[Text]]:
    return [
        [
            cell if isinstance(cell, Text) else console.render_str(str(cell))
            for cell in chain([column.header], column.cells)
        ]
        for column in table.columns
    ]
