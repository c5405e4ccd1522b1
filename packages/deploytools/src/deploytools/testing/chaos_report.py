"""A chaos run as one HTML page: the account, what was broken when, and how long tasks took meanwhile."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from deploytools.load.chart import Axis, seconds_chart
from deploytools.load.report import STYLE
from deploytools.testing.chaos import Outcome


def write_chaos_report(outcome: Outcome, path: Path, *, title: str) -> None:
    """Write the page."""
    path.write_text(render(outcome, title), encoding="utf-8")


def render(outcome: Outcome, title: str) -> str:
    """Return the page."""
    good = not outcome.lost
    verdict = "Nothing was lost." if good else f"{len(outcome.lost)} accepted tasks never ended."
    account = {
        "seed": outcome.seed,
        "accepted by the broker": outcome.accepted,
        "refused by the broker": outcome.refused,
        "longest publish, s": outcome.longest_publish_seconds,
        "finished": outcome.finished,
        "started more than once": outcome.redelivered,
        "finished more than once": outcome.finished_twice,
        "dead letters": outcome.dead,
        "lost": len(outcome.lost),
        "lost per kill, 95 % upper bound": outcome.lost_per_kill_bound,
        "back after a kill, p99, s": outcome.redelivery_p99_seconds,
        "so timed": outcome.redeliveries_timed,
        "back, not timed": outcome.redeliveries_untimed,
        "workers started": outcome.workers_started,
    }
    last = max((at for at, _ in outcome.longest_seconds), default=1.0)
    ticks = [(float(at), str(at)) for at in range(0, int(last) + 1, max(1, int(last) // 6))]
    chart = seconds_chart(
        {"slowest": sorted(outcome.longest_seconds)},
        axis=Axis(start=0, end=last, ticks=ticks, label="seconds of the run"),
        levels={},
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1><p class='{'good' if good else 'bad'}'>{verdict}</p>"
        f"<div class='charts'>{_table(account.items())}"
        f"<figure><figcaption>From publish to end: the slowest of each second</figcaption>{chart}</figure></div>"
        f"<h2>Faults</h2><div class='charts'>{_table(outcome.faults.items())}"
        f"{_table((f'{at:.1f} s', fault) for at, fault in outcome.incidents)}</div></html>"
    )


def _table(rows: Iterable[tuple[str, object]]) -> str:
    cells = "".join(f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table><tbody>{cells}</tbody></table>"
