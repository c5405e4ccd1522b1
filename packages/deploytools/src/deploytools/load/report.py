"""A run's report: one HTML page that needs nothing else, made from the run's JSON."""

import json
from html import escape
from math import log10
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from deploytools.load.chart import Axis, Point, seconds_chart
from deploytools.load.compare import reading

# The percentile axis stretches towards the tail: each step is a nine more.
NINES = ((0.0, "0"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"))
CURVE = [50 + n * 0.5 for n in range(80)] + [90 + n * 0.1 for n in range(90)] + [99 + n * 0.01 for n in range(100)]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .3rem .5rem; text-align: right }
td { border-bottom: 1px solid #ddd; white-space: nowrap } th { border-bottom: 2px solid #999 }
td:first-child, th:first-child { text-align: left }
.good { color: #1a7f37 } .bad { color: #cf222e; font-weight: 600 }
.charts { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 }
svg text { font-size: 12px; fill: #444 } svg polyline { fill: none; stroke-width: 1.8 }
svg .grid { stroke: #ddd; stroke-width: 1 } code { background: #f4f4f4; padding: .1rem .3rem }
dt { font-weight: 600 } dd { margin: 0 0 .4rem 0; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd } svg text { fill: #bbb }
 svg .grid { stroke: #333 } td { border-color: #333 } code { background: #2b2b2b } }
"""


HOW_TO_READ = (
    "A wait counts from the moment the schedule wanted a task sent until it started. The floor is the mean wait that "
    "queueing theory (M/G/c) gives for the arrivals, service times and processes of this run; the hop is a bare "
    "message over the same broker. A tier that was kept full waits as long as was put into it."
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
        f"<h1>{escape(title)}</h1>{verdict}{_tiers_table(run)}"
        f"<div class='charts'>{_figure('Wait by percentile; dashed: the promise', _curve(run))}"
        f"{_figure('Longest wait by second of the run', _over_time(run))}</div>"
        f"<h2>How to read this</h2><p>{HOW_TO_READ}</p>{_context(run)}</html>"
    )


def _tiers_table(run: dict[str, Any]) -> str:
    head = (
        *("tier", "sent", "done", "failed", "lost", "wait p50", "p95", "p99", "p99.9", "max", "promise", "held"),
        *("mean wait", "floor", "run p50", "publish p99", "processes", "per second"),
    )
    rows = []
    seconds = max((second["at"] + 1 for tier in run["tiers"] for second in tier["seconds"]), default=1)
    for tier in run["tiers"]:
        wait = tier["wait"]["percentiles"]
        held = wait["p99"] is not None and wait["p99"] <= tier["promise_seconds"]
        cells = (
            *(tier[key] for key in ("name", "sent", "done", "failed", "lost")),
            *(_ms(wait[key]) for key in ("p50", "p95", "p99", "p99.9", "p100")),
            _ms(tier["promise_seconds"]),
            ("yes" if held else "no") if tier["sent"] else "-",
            *(_ms(tier[key]) for key in ("mean_wait_seconds", "floor_seconds")),
            _ms(tier["run"]["percentiles"]["p50"]),
            _ms(tier["publish"]["percentiles"]["p99"]),
            tier["processes"],
            f"{tier['sent'] / seconds:.1f}",
        )
        mark = "good" if held or not tier["sent"] else "bad"
        rows.append(
            "<tr>"
            + "".join(
                f'<td class="{mark}">{escape(str(cell))}</td>' if name == "held" else f"<td>{escape(str(cell))}</td>"
                for name, cell in zip(head, cells, strict=True)
            )
            + "</tr>"
        )
    heads = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


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


def _context(run: dict[str, Any]) -> str:
    facts = {
        "hop": _ms(run["hop_seconds"]),
        "generator: sent late, p99": _ms(run["generator_slip_p99_seconds"]),
        "refused by the broker": run["refused"],
        "reported twice": run["duplicates"],
        **run["context"],
    }
    items = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value if isinstance(value, str) else json.dumps(value))}</code></dd>"
        for name, value in facts.items()
    )
    return f"<h2>Where and with what</h2><dl>{items}</dl>"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
