"""The account of a run."""

from deploytools.load.samples import Account, as_rows, from_rows


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
