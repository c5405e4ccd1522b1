"""`load.run`, `load.report`, `load.compare`: offer a load, look at it, put two beside each other."""

from pathlib import Path
from typing import Any

from invoke.collection import Collection

from deploytools.invoke.command import command


@command(
    help={
        "profile": "what to offer: smoke, steady, burst, flood, soak, failover",
        "seconds": "for how long; the profile's own time otherwise",
        "synthetic": "tasks that take this many seconds, instead of the application's own",
        "times": "multiply the profile's rates",
        "processes": "how many processes generate the load",
    },
    positional=["profile"],
)
def run(
    _: Any, profile: str, seconds: float = 0.0, synthetic: float = 0.0, times: float = 1.0, processes: int = 1
) -> None:
    """Offer a load to the fleet that runs, or to one started for it; exit with 1 when a promise is broken."""
    from deploytools.errors import SettingError
    from deploytools.load.profile import PROFILES
    from deploytools.load.run import run_profile

    if profile not in PROFILES:
        raise SettingError(f"load.run {profile}: no such profile: use one of {', '.join(PROFILES)}")
    for option, value in {"seconds": seconds, "synthetic": synthetic, "times": times, "processes": processes}.items():
        if value < 0 or (value == 0 and option in {"times", "processes"}):
            raise SettingError(f"load.run --{option} {value:g}: give a number above 0")
    report = run_profile(
        profile, seconds=seconds or None, synthetic_seconds=synthetic, times=times, processes=processes
    )
    print(f"passed: {report}")


@command(help={"run": "the JSON of a run"}, positional=["run"])
def report(_: Any, run: str) -> None:
    """Write a run's HTML page beside its JSON, and print where it is."""
    from deploytools.load.report import write_report

    print(write_report(Path(run))[0])


@command(help={"a": "the JSON of a run", "b": "the JSON of another"}, positional=["a", "b"])
def compare(_: Any, a: str, b: str) -> None:
    """Put the waits of two runs side by side, with a rank test."""
    from deploytools.inspect.layout import print_table
    from deploytools.load.compare import compare_runs, differences_table

    print_table(differences_table(compare_runs(Path(a), Path(b))))


ns = Collection("load", run, report, compare)
