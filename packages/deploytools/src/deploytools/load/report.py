"""A run's report: one HTML page that needs nothing else, made from the run's JSON."""

from html import escape
from math import log10
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from deploytools.load.chart import Axis, Point, seconds_chart
from deploytools.load.compare import reading
from deploytools.load.report_tables import context_tables, first_runs_table, runs_table, waits_table

# The percentile axis stretches towards the tail: each step is a nine more.
NINES = ((0.0, "0"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"))
CURVE = [50 + n * 0.5 for n in range(80)] + [90 + n * 0.1 for n in range(90)] + [99 + n * 0.01 for n in range(100)]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { padding: .3rem .6rem; text-align: right }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
td { border-bottom: 1px solid #ddd } th { border-bottom: 2px solid #999; vertical-align: bottom }
.numbers { width: 100% } .numbers td { white-space: nowrap } td:first-child, th:first-child { text-align: left }
.facts td { text-align: left; overflow-wrap: anywhere } .facts td:first-child { white-space: nowrap }
.good { color: #1a7f37 } .bad { color: #cf222e; font-weight: 600 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem }
figure { margin: 0 } svg { width: 100%; height: auto }
svg text { font-size: 12px; fill: #444 } svg polyline { fill: none; stroke-width: 1.8 }
svg .grid { stroke: #ddd; stroke-width: 1 }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd } svg text { fill: #bbb }
 svg .grid { stroke: #333 } td { border-color: #333 } }
"""


HOW_TO_READ = (
    "The queue wait of a task counts from the time at which the schedule wanted it sent until it started. The floor is "
    "the mean wait that queueing theory (M/G/c) gives for the arrivals, run times and processes of this run. The "
    "broker round trip is that of a bare message over the same broker. The wait of a saturated tier only says how many "
    "tasks were kept waiting in it. A first run is the first one of a task in its pool process: where it takes much "
    "longer than later ones, tasks behind it wait, and the tier needs preload or warm_up."
)


def write_report(run_path: Path) -> tuple[Path, list[str]]:
    """Write the page beside a run's JSON; return its path and the run's problems."""
    with reading(run_path) as run:
        text, problems = render(run), list(run["problems"])
    page = run_path.with_suffix(".html")
    page.write_text(text, encoding="utf-8")
    return page, problems


def render(run: dict[str, Any]) -> str:
    """Return the page of a run."""
    title = f"Load run: {run['profile']}"
    verdict = (
        '<p class="bad">Not passed</p><ul>' + "".join(f"<li>{escape(why)}</li>" for why in run["problems"]) + "</ul>"
        if run["problems"]
        else '<p class="good">Passed: every promise held, every accepted task is accounted for.</p>'
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1>{verdict}{waits_table(run)}{runs_table(run)}"
        f"<div class='charts'>{_figure('Wait by percentile; dashed: the promise', _curve(run))}"
        f"{_figure('Longest wait by second of the run', _over_time(run))}</div>"
        f"<h2>First run of a task in each pool process</h2>{first_runs_table(run)}"
        f"<h2>How to read this</h2><p>{HOW_TO_READ}</p><h2>Where and with what</h2>{context_tables(run)}</html>"
    )


def _figure(caption: str, chart: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"


def _curve(run: dict[str, Any]) -> str:
    lines: dict[str, list[Point]] = {}
    for tier in run["tiers"]:
        waits = HdrHistogram.decode(tier["wait"]["histogram"])
        if waits.get_total_count():
            known = [
                p for p in CURVE if (100 - p) / 100 * waits.get_total_count() >= 1
            ]  # no tail that was not measured
            lines[tier["name"]] = [(-log10(1 - p / 100), waits.get_value_at_percentile(p) / 1e6) for p in known]
    furthest = max((points[-1][0] for points in lines.values() if points), default=1.0)
    axis = Axis(
        start=0.3, end=furthest, ticks=[tick for tick in NINES if 0.3 <= tick[0] <= furthest], label="percentile"
    )
    return seconds_chart(lines, axis=axis, levels={tier["name"]: tier["promise_seconds"] for tier in run["tiers"]})


def _over_time(run: dict[str, Any]) -> str:
    lines = {
        tier["name"]: [(s["at"], s["wait_max_seconds"]) for s in tier["seconds"] if s["wait_max_seconds"] is not None]
        for tier in run["tiers"]
    }
    last = max((points[-1][0] for points in lines.values() if points), default=1)
    ticks = [(at, str(at)) for at in range(0, int(last) + 1, max(1, int(last) // 6))]
    return seconds_chart(lines, axis=Axis(start=0, end=last, ticks=ticks, label="seconds of the run"), levels={})
