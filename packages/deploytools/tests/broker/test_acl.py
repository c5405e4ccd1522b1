from deploytools.broker.acl import acl_rules
from deploytools.fleet import Fleet


def test_a_fleet_may_touch_its_own_queues_and_nobody_elses(fleet: Fleet) -> None:
    keys = {rule for rule in acl_rules(fleet) if rule.startswith("~")}

    assert {"~high_priority", "~high_priority.stage", "~high_priority.dead"} <= keys
    assert "~*" not in keys


def test_no_command_is_allowed_by_its_category(fleet: Fleet) -> None:
    rules = acl_rules(fleet)

    assert not [rule for rule in rules if rule.startswith("+@") or rule == "+all"]
    assert not {"+flushdb", "+config", "+keys", "+shutdown", "+acl"} & set(rules)


def test_channels_are_named_with_their_database_because_patterns_are_compared_word_for_word(fleet: Fleet) -> None:
    assert {"&/3.celery.pidbox", "&/3.celeryev/*"} <= set(acl_rules(fleet, database=3))
