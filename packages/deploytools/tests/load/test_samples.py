"""The account of a run."""

from dataclasses import replace

from deploytools.load.samples import Account, Sample, as_rows, from_rows


def report(task_id: str, *, started_at: float = 12.5, state: str = "SUCCESS") -> dict[str, object]:
    return {"id": task_id, "started_at": started_at, "run_seconds": 0.1, "state": state, "node": "high-1@host"}


def test_a_wait_counts_from_the_intended_send_time_not_from_the_late_one() -> None:
    account = Account()
    account.intend("a", "high", 10.0)

    heard = account.hear(report("a", started_at=12.5))

    assert heard
    assert heard.wait_seconds == 2.5


def test_a_second_report_changes_nothing_but_is_counted() -> None:
    account = Account()
    account.intend("a", "high", 10.0)
    account.hear(report("a", state="FAILURE"))

    assert account.hear(report("a")) is None
    assert account.samples["a"].state == "FAILURE"
    assert (account.duplicates, account.outstanding("high")) == (1, 0)


def test_what_the_broker_refused_is_not_part_of_the_account() -> None:
    account = Account()
    account.intend("a", "high", 10.0)
    account.refuse("a")

    assert (account.samples, account.refused, account.outstanding()) == ({}, 1, 0)


def test_what_ran_although_the_broker_seemed_to_refuse_it_hides_no_loss() -> None:
    account = Account()
    for name in ("ran", "lost"):
        account.intend(name, "high", 10.0)
    account.hear(report("ran"))
    account.refuse("ran")

    assert (account.outstanding(), account.unheard()) == (1, ["lost"])


def test_a_report_of_somebody_elses_task_is_none_of_ours() -> None:
    account = Account()

    assert account.hear(report("x")) is None
    assert account.outstanding() == 0


def test_what_beat_sent_is_counted_apart_and_once() -> None:
    account = Account()

    for _ in range(2):
        account.hear(report("from-beat") | {"beat": True})

    assert account.sent_by_beat == {"from-beat"}
    assert (account.samples, account.outstanding()) == ({}, 0)


def test_samples_travel_as_plain_data() -> None:
    account = Account()
    account.intend("a", "high", 10.0)

    assert from_rows(as_rows(account.samples.values())) == list(account.samples.values())


def sample(task_id: str, *, tier: str = "low", state: str | None = None) -> Sample:
    return Sample(id=task_id, tier=tier, intended_at=10.0, published_at=10.0, state=state)


def test_an_adopted_task_is_outstanding_until_its_newest_record_says_otherwise() -> None:
    account = Account()
    account.adopt(sample("a"))
    assert account.outstanding("low") == 1

    account.adopt(replace(sample("a"), state="SUCCESS"))
    account.adopt(replace(sample("a"), state="SUCCESS", publish_seconds=0.1))

    assert (account.outstanding("low"), len(account.samples)) == (0, 1)


def test_tasks_of_a_process_that_died_are_unknown_and_not_lost() -> None:
    account = Account()
    account.intend("ours", "high", 10.0)
    account.adopt(sample("running"))
    account.adopt(sample("done", state="SUCCESS"))

    assert account.forget_unheard(["low"]) == 1

    assert (account.unheard(), account.outstanding(), set(account.samples)) == (["ours"], 1, {"ours", "done"})
