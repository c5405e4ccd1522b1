"""Line charts as SVG text, with a logarithmic axis of seconds: enough for a report, nothing to download."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 620, 300, 64, 42, 16, 76
COLOURS = ("#d1495b", "#00798c", "#edae49", "#66a182", "#2e4057", "#8d5b4c")
MIN_SECONDS = 0.0001  # what is shorter is drawn here

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The horizontal axis: its ends, its ticks (value, label), and what it shows."""

    start: float
    end: float
    ticks: Sequence[tuple[float, str]]
    label: str


def seconds_chart(lines: Mapping[str, Sequence[Point]], *, axis: Axis, levels: Mapping[str, float]) -> str:
    """Return a chart of some lines (name → points of x and seconds); `levels` are dashed lines of the same colours."""
    values = [y for points in lines.values() for _, y in points] + list(levels.values())
    low = floor(log10(max(MIN_SECONDS, min(values, default=0.001))))
    high = max(low + 1, ceil(log10(max(MIN_SECONDS, *values, 0.001))))

    def place(x: float, y: float) -> str:
        across = LEFT + (x - axis.start) / ((axis.end - axis.start) or 1) * (WIDTH - LEFT - RIGHT)
        share = (log10(max(MIN_SECONDS, y)) - low) / (high - low)
        return f"{across:.1f},{HEIGHT - BOTTOM - max(0.0, share) * (HEIGHT - BOTTOM - TOP):.1f}"

    def text(x: float, y: float, words: str, anchor: str = "middle", dx: int = 0, dy: int = 4) -> str:
        left, top = (float(part) for part in place(x, y).split(","))
        return f'<text x="{left + dx:.1f}" y="{top + dy:.1f}" text-anchor="{anchor}">{escape(words)}</text>'

    parts = []
    for power in range(low, high + 1):
        y = 10.0**power
        parts.append(f'<polyline class="grid" points="{place(axis.start, y)} {place(axis.end, y)}"/>')
        parts.append(text(axis.start, y, _duration(y), "end", dx=-6))
    bottom = 10.0**low
    parts += [text(x, bottom, label, dy=18) for x, label in axis.ticks]
    parts.append(text((axis.start + axis.end) / 2, bottom, axis.label, dy=36))
    for (name, points), colour in zip(lines.items(), COLOURS * len(lines), strict=False):
        path = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline stroke="{colour}" points="{path}"/>')
        if points:
            end = text(axis.end, points[-1][1], name, "start", dx=6)
            parts.append(end.replace("<text", f'<text fill="{colour}"'))
        if name in levels:
            ends = f"{place(axis.start, levels[name])} {place(axis.end, levels[name])}"
            parts.append(f'<polyline stroke="{colour}" stroke-dasharray="4 4" points="{ends}"/>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
