"""What is known of a message that cannot be read."""

import json

import pytest

from deploytools.transport.dead import Reason, dead_letter, dead_queue
from deploytools.transport.qos import _split


@pytest.mark.parametrize("raw", [b"{", b"", b'{"body": "a, \\"\\", \\"b\\""}', b'", "', b"\xff\x00"])
def test_queue_and_message_are_found_in_an_entry_whatever_the_message_is(raw: bytes) -> None:
    assert _split(b"[" + raw + b', "", "high_priority"]') == ("high_priority", raw)


def test_an_entry_that_is_none_of_ours_has_an_unknown_queue() -> None:
    assert _split(b"garbage")[0] == "unknown"


def test_a_dead_letter_keeps_every_byte_it_can_show() -> None:
    letter = json.loads(dead_letter("high", b'{"a": \xff}', Reason.UNREADABLE, "why"))

    assert letter["raw"] == '{"a": \\xff}'
    assert (letter["queue"], letter["reason"], letter["error"]) == ("high", "unreadable", "why")
    assert dead_queue("high") == "high.dead"
