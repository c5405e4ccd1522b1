"""The verdict on a run, its page, and two runs side by side."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploytools.errors import SettingError
from deploytools.fleet import Fleet
from deploytools.load.compare import compare_runs
from deploytools.load.profile import PROFILES
from deploytools.load.report import write_report
from deploytools.load.result import RunResult, sum_up, tier_load
from deploytools.load.samples import Sample


def samples(tier: str, *, wait_seconds: float, count: int = 200, send_delay_seconds: float = 0.0) -> list[Sample]:
    return [
        Sample(
            id=f"{tier}-{number}",
            tier=tier,
            intended_at=1000 + number / 10,
            published_at=1000 + number / 10 + send_delay_seconds,
            publish_seconds=0.001,
            started_at=1000 + number / 10 + wait_seconds * (1 + number % 7 / 100),
            run_seconds=0.05,
            state="SUCCESS",
            node=f"{tier}-1@host",
        )
        for number in range(count)
    ]


def run_of(
    fleet: Fleet, all_samples: list[Sample], *, profile: str = "steady", refused: int = 0, missing_generators: int = 0
) -> RunResult:
    return sum_up(
        all_samples,
        fleet=fleet,
        profile=PROFILES[profile],
        processes={"high": 4},
        round_trips=[0.0002],
        refused=refused,
        missing_generators=missing_generators,
        failures=(),
        duplicates=0,
        context={"machine": "a test", "versions": {"celery": "5.7.0"}},
    )


def test_a_run_that_kept_its_promises_has_no_problems(fleet: Fleet) -> None:
    run = run_of(fleet, samples("high", wait_seconds=0.01))

    assert run.problems() == []
    assert run.tiers[0].wait.percentiles["p50"] == pytest.approx(0.0103, rel=0.01)


def test_a_broken_promise_is_named_with_how_far_it_was_missed(fleet: Fleet) -> None:
    [problem] = run_of(fleet, samples("high", wait_seconds=2.0)).problems()

    assert "tier high" in problem
    assert "4.2 x the promise of 0.5 s" in problem


@pytest.mark.parametrize(
    ("waits", "held"),
    [
        pytest.param([0.1, 0.49], True, id="just-in-time"),
        pytest.param([0.1, 0.6], False, id="too-late"),
        pytest.param([0.1] * 199 + [9.0], True, id="one-in-two-hundred-may-be-late"),
        pytest.param([], False, id="nothing-heard-of"),
    ],
)
def test_a_promise_is_held_when_99_percent_started_in_time(fleet: Fleet, waits: list[float], held: bool) -> None:
    given = [replace(samples("high", wait_seconds=0)[0], id=str(n), started_at=1000 + w) for n, w in enumerate(waits)]

    assert tier_load(fleet.tier("high"), given, 0).held is held


def test_a_task_never_heard_of_is_lost(fleet: Fleet) -> None:
    heard = samples("high", wait_seconds=0.01)
    unheard = replace(heard[0], id="x", state=None, started_at=None, run_seconds=None)

    [problem] = run_of(fleet, [*heard, unheard]).problems()

    assert problem == "tier high: 1 of 201 accepted tasks were never heard of"


def test_a_generator_that_fell_behind_fails_the_run(fleet: Fleet) -> None:
    problems = run_of(fleet, samples("high", wait_seconds=0.2, send_delay_seconds=0.1)).problems()

    assert "the generator fell behind" in problems[0]


@pytest.mark.parametrize(("profile", "passes"), [("steady", False), ("failover", True)])
def test_what_the_broker_refused_fails_a_run_unless_its_profile_expects_that(
    fleet: Fleet, profile: str, passes: bool
) -> None:
    problems = run_of(fleet, samples("high", wait_seconds=0.01), profile=profile, refused=7).problems()

    assert problems == ([] if passes else ["the broker refused 7 tasks: is it up, and has it memory left?"])


@pytest.mark.parametrize(("offset", "passes"), [(0.04, True), (-0.6, False)])
def test_waits_told_by_a_wrong_clock_fail_the_run(fleet: Fleet, offset: float, passes: bool) -> None:
    run = run_of(fleet, samples("high", wait_seconds=0.01))

    problems = replace(run, context={"clock_offsets": {"high-1@far": (offset, 0.002)}}).problems()

    assert problems == [] if passes else "the clock of high-1@far differs by -0.600 s" in problems[0]


def test_a_generator_that_died_fails_the_run(fleet: Fleet) -> None:
    [problem] = run_of(fleet, samples("high", wait_seconds=0.01), missing_generators=1).problems()

    assert "1 of the generators ended without an account" in problem


def test_a_run_without_tasks_does_not_pass(fleet: Fleet) -> None:
    assert "nothing was sent" in run_of(fleet, []).problems()[0]


def test_the_page_needs_nothing_else_and_shows_every_tier(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run_of(fleet, samples("high", wait_seconds=0.01)).as_json()))

    page, problems = write_report(path)

    html = page.read_text()
    assert problems == []
    assert all(html.count(f"<td>{tier.name}</td>") == 3 for tier in fleet)
    assert "{" not in html.partition("</style>")[2]  # settings are tables, not printed dicts
    assert "http" not in html
    assert html.count("<svg") == 2


def test_the_page_says_how_many_a_second_although_seconds_were_empty(fleet: Fleet, tmp_path: Path) -> None:
    path, given = tmp_path / "run.json", samples("high", wait_seconds=0.01)
    bursts = [replace(one, intended_at=1000.0 if n < 100 else 1039.5) for n, one in enumerate(given)]
    path.write_text(json.dumps(run_of(fleet, bursts).as_json()))

    page, _ = write_report(path)

    assert "<tr><td>high</td><td>5.0</td>" in page.read_text()  # 200 in 40 seconds


def test_the_page_says_of_a_promise_that_nothing_was_measured_for_it(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    unheard = [replace(one, state=None, started_at=None) for one in samples("high", wait_seconds=0.01)]
    path.write_text(json.dumps(run_of(fleet, unheard).as_json()))

    html = write_report(path)[0].read_text()

    assert html.count('<td class="bad">no</td>') == 1
    assert html.count('<td class="good">-</td>') == len(fleet.tiers) - 1


def test_the_longer_waits_are_told_by_all_of_them_not_by_the_median(fleet: Fleet, tmp_path: Path) -> None:
    for name, long in (("a", 0.002), ("b", 0.5)):
        given = samples("high", wait_seconds=0.001)
        waits = [0.001 if n < 110 else long for n in range(len(given))]
        several = [replace(s, started_at=s.intended_at + w) for s, w in zip(given, waits, strict=True)]
        (tmp_path / f"{name}.json").write_text(json.dumps(run_of(fleet, several).as_json()))

    [one] = compare_runs(tmp_path / "a.json", tmp_path / "b.json")

    assert one.a_p50_seconds == one.b_p50_seconds
    assert one.verdict == "B waits longer"


def test_two_runs_are_told_apart_only_where_they_differ(fleet: Fleet, tmp_path: Path) -> None:
    for name, high in (("a", 0.01), ("b", 0.02)):
        both = samples("high", wait_seconds=high) + samples("low", wait_seconds=0.03)
        (tmp_path / f"{name}.json").write_text(json.dumps(run_of(fleet, both).as_json()))

    verdicts = {one.tier: one.verdict for one in compare_runs(tmp_path / "a.json", tmp_path / "b.json")}

    assert verdicts == {"high": "B waits longer", "low": "no difference seen"}


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"tiers": [], "profile": "x"}', '{"tiers": [{"name": "high"}]}', "\0\xff"]
)
def test_a_file_that_is_no_run_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="latin-1")

    with pytest.raises(SettingError, match=r"x\.json: not the JSON of a load run"):
        write_report(tmp_path / "x.json")
    assert not (tmp_path / "x.html").exists()
