"""The tables of a run's report, as HTML."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

# A cell's text, or its text and its class.
Cell = object | tuple[str, str]


def waits_table(run: dict[str, Any]) -> str:
    """Return each tier's waits, and whether they kept its promise."""
    head = ("tier", "sent", "done", "failed", "lost", "p50", "p95", "p99", "p99.9", "max", "mean", "promise", "held")
    rows = []
    for tier in run["tiers"]:
        wait = tier["wait"]["percentiles"]
        held = wait["p99"] is not None and wait["p99"] <= tier["promise_seconds"]
        rows.append(
            (
                *(tier[key] for key in ("name", "sent", "done", "failed", "lost")),
                *(_ms(wait[key]) for key in ("p50", "p95", "p99", "p99.9", "p100")),
                _ms(tier["mean_wait_seconds"]),
                _ms(tier["promise_seconds"]),
                ("-" if not tier["sent"] else "yes" if held else "no", "good" if held or not tier["sent"] else "bad"),
            )
        )
    return _table("Queue wait: from the intended send time to the start", head, rows)


def runs_table(run: dict[str, Any]) -> str:
    """Return what explains the waits: load, processes, run times, and how late tasks were sent."""
    head = ("tier", "tasks a second", "processes", "floor of the mean wait", "run p50", "run p99")
    seconds = max((second["at"] + 1 for tier in run["tiers"] for second in tier["seconds"]), default=1)
    rows = [
        (
            tier["name"],
            f"{tier['sent'] / seconds:.1f}",
            tier["processes"],
            _ms(tier["floor_seconds"]),
            *(_ms(tier["run"]["percentiles"][key]) for key in ("p50", "p99")),
            _ms(tier["publish"]["percentiles"]["p99"]),
            _ms(tier["send_delay_p99_seconds"]),
        )
        for tier in run["tiers"]
    ]
    return _table("What the wait is made of", (*head, "publish p99", "send delay p99"), rows)


def first_runs_table(run: dict[str, Any]) -> str:
    """Return the run times of the first run of a task in each pool process, and of later ones."""
    head = ("tier", "first runs", "p50", "p99", "later runs", "p50", "p99")
    rows = [
        (
            tier["name"],
            *(
                cell
                for runs in (tier["first_run"], tier["later_run"])
                for cell in (runs["count"], *(_ms(runs["percentiles"][key]) for key in ("p50", "p99")))
            ),
        )
        for tier in run["tiers"]
    ]
    return _table("Run time", head, rows)


def context_tables(run: dict[str, Any]) -> str:
    """Return where the run took place and with what: a table of facts, and one for each group of facts."""
    facts = {
        "broker round trip, median": _ms(run["broker_round_trip_seconds"]),
        "send delay of scheduled tasks, p99": _ms(run["send_delay_p99_seconds"]),
        "refused by the broker": run["refused"],
        "reported twice": run["duplicates"],
        **run["context"],
    }
    groups = {name: value for name, value in facts.items() if isinstance(value, dict)}
    alone = {name: value for name, value in facts.items() if name not in groups}
    return "".join(_facts(name.replace("_", " "), group) for name, group in {"run": alone, **groups}.items())


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    rows = [(name, _fact(value)) for name, value in facts.items()]
    return _table(title, ("", ""), rows, kind="facts") if rows else ""


def _fact(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    offset_seconds, uncertainty_seconds = value
    return f"{offset_seconds * 1000:+.3f} ms ± {uncertainty_seconds * 1000:.3f} ms"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], *, kind: str = "numbers") -> str:
    heads = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in rows)
    return f'<table class="{kind}"><caption>{escape(title)}</caption>{heads}<tbody>{body}</tbody></table>'


def _td(cell: Cell) -> str:
    if isinstance(cell, tuple):
        text, mark = cell
        return f'<td class="{mark}">{escape(text)}</td>'
    return f"<td>{escape(str(cell))}</td>"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
