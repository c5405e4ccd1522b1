"""Publish times in headers, and waits from them."""

from typing import Any

import pytest

from deploytools.publish_time import PUBLISHED_AT, stamp, wait_seconds

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def test_a_stamp_is_the_publish_time_and_leaves_other_headers_alone() -> None:
    headers: dict[str, Any] = {"id": "a", PUBLISHED_AT: 1.0}

    stamp(headers, NOON)

    assert headers == {"id": "a", "x_published_at": NOON}


@pytest.mark.parametrize(
    ("published_at", "started_at", "eta", "waited_seconds"),
    [
        pytest.param(NOON, NOON + 2.5, None, 2.5, id="publish-to-start"),
        pytest.param(NOON, NOON, None, 0.0, id="at-once"),
        pytest.param(NOON, NOON - 3.0, None, 0.0, id="clocks-that-disagree"),
        pytest.param(NOON, NOON + 12.0, "2026-01-01T12:00:10+00:00", 2.0, id="eta-taken-off"),
        pytest.param(NOON, NOON + 12.0, "2026-01-01T12:00:10Z", 2.0, id="eta-with-z"),
        pytest.param(NOON, NOON + 12.0, "2026-01-01T13:00:10+01:00", 2.0, id="eta-of-another-zone"),
        pytest.param(NOON, NOON + 12.0, "2026-01-01T11:00:00+00:00", 12.0, id="eta-before-publish"),
        pytest.param(NOON, NOON + 9.9, "2026-01-01T12:00:10+00:00", 0.0, id="started-before-its-eta"),
        pytest.param(NOON, NOON + 1.0, "", 1.0, id="empty-eta"),
    ],
)
def test_a_wait_is_the_time_a_task_was_ready_and_did_not_run(
    published_at: float, started_at: float, eta: str | None, waited_seconds: float
) -> None:
    assert wait_seconds(published_at=published_at, started_at=started_at, eta=eta) == pytest.approx(waited_seconds)
