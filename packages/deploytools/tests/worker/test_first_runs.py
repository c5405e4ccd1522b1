"""First runs of tasks in a process are told from later ones."""

import pytest

from deploytools.worker import first_runs


@pytest.fixture(autouse=True)
def nothing_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_runs, "_tasks_of", {})
    monkeypatch.setattr(first_runs, "_runs", {})


def test_the_first_run_of_each_task_in_each_process_is_one() -> None:
    runs = [("bake", 1), ("bake", 1), ("sell", 1), ("bake", 2), ("bake", 1)]

    assert [first_runs.note_start(*run) for run in runs] == [True, False, True, True, False]


def test_processes_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_runs, "MAX_PROCESSES", 2)
    for pid in (1, 2, 3):
        first_runs.note_start("bake", pid)

    assert not first_runs.note_start("bake", 3)
    assert first_runs.note_start("bake", 1)


def test_the_summary_tells_how_long_first_and_later_runs_took() -> None:
    first_runs.note_end("bake", 2.0, is_first=True)
    first_runs.note_end("bake", 0.25, is_first=False)
    first_runs.note_end("bake", 0.25, is_first=False)

    assert first_runs.summary() == {
        "bake": {"first": {"count": 1, "seconds": 2.0}, "later": {"count": 2, "seconds": 0.5}}
    }
