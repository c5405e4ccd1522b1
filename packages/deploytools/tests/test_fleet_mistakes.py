"""Fleet files that are wrong: each mistake is refused with a line that names the key, the value and the fix."""

from pathlib import Path

import pytest

from deploytools.errors import FleetFileError
from deploytools.fleet import load_fleet, parse_fleet

TEXT = """
[fleet]
app = "shop.tasks:app"
default_tier = "slow"

[tiers.quick]
queue = "quick_queue"
tasks = ["shop.chat.*", "shop.pay.now"]
start_within_seconds = 0.5
concurrency = 4
autoscale = { min = 2, max = 8 }
time_limit_seconds = 120
resources = { cpus = 2.0, memory = "2G" }

[tiers.slow]
queue = "slow_queue"
tasks = ["shop.mail.*"]
start_within_seconds = 30
concurrency = 1
autoscale = { min = 1, max = 1 }
time_limit_seconds = 600
"""
TIER_KEYS = (
    "autoscale, concurrency, deploy, max_tasks_per_child, nice, prefetch_multiplier, preload, queue, replicas, "
    "resources, start_within_seconds, tasks, time_limit_seconds"
)
APP = r"matching regex '^[A-Za-z_][\\w.]*(:[A-Za-z_]\\w*)?$'"
MEMORY = "matching regex '^[1-9][0-9]*[MG]$'"
PATTERNS = '["shop.chat.*", "shop.pay.now"]'
NO_TIER_NAME = "use lower-case letters, digits, - and _, but not 'all' or 'dev'"
SECTIONS = "every fleet file has [fleet] and at least one [tiers.<name>]"


def text_with(old: str, new: str) -> str:
    """Return the valid text with its first `old` replaced."""
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def refusal_of(text: str) -> str:
    """Return the message a fleet file is refused with."""
    with pytest.raises(FleetFileError) as caught:
        parse_fleet(text)
    return str(caught.value)


def test_the_text_that_these_tests_break_is_valid() -> None:
    assert [tier.name for tier in parse_fleet(TEXT)] == ["quick", "slow"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("app =", "ap =", "fleet.ap: unknown key: did you mean 'app'?", id="fleet"),
        pytest.param(
            "concurrency", "concurency", "tiers.quick.concurency: unknown key: did you mean 'concurrency'?", id="tier"
        ),
        pytest.param("max =", "mx =", "tiers.quick.autoscale.mx: unknown key: did you mean 'max'?", id="autoscale"),
        pytest.param("cpus", "cpu", "tiers.quick.resources.cpu: unknown key: did you mean 'cpus'?", id="resources"),
        pytest.param(
            "queue =",
            "zzz = 1\nqueue =",
            f"tiers.quick.zzz: unknown key: the keys here are {TIER_KEYS}",
            id="like-no-other",
        ),
        pytest.param(
            "queue =",
            'name = "fast"\nqueue =',
            f"tiers.quick.name: unknown key: the keys here are {TIER_KEYS}",
            id="a-tier's-name-is-its-table's",
        ),
        pytest.param("[fleet]", "[tier]\na = 1\n[fleet]", "tier: unknown key: did you mean 'tiers'?", id="section"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(old: str, new: str, message: str) -> None:
    assert refusal_of(text_with(old, new)) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('app = "shop.tasks:app"\n', "", "fleet: app is missing: add it", id="fleet"),
        pytest.param('queue = "quick_queue"\n', "", "tiers.quick: queue is missing: add it", id="tier"),
        pytest.param(", max = 8", "", "tiers.quick.autoscale: max is missing: add it", id="autoscale"),
        pytest.param("cpus = 2.0, ", "", "tiers.quick.resources: cpus is missing: add it", id="resources"),
        pytest.param("[fleet]", "[tiers.old]", f"[fleet] is missing or empty: {SECTIONS}", id="section"),
    ],
)
def test_a_missing_key_is_named_with_its_table(old: str, new: str, message: str) -> None:
    assert refusal_of(text_with(old, new)) == message


def test_a_fleet_without_tiers_is_refused() -> None:
    head = TEXT.partition("[tiers.quick]")[0]

    assert refusal_of(head) == f"[tiers] is missing or empty: {SECTIONS}"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("= 4", '= "4"', "concurrency = '4': expected `int`, got `str`", id="text-for-a-number"),
        pytest.param("= 4", "= 4.5", "concurrency = 4.5: expected `int`, got `float`", id="half-a-process"),
        pytest.param("= 4", "= true", "concurrency = True: expected `int`, got `bool`", id="yes-for-a-number"),
        pytest.param("= 4", "= 0", "concurrency = 0: expected `int` >= 1", id="no-process"),
        pytest.param("min = 2", "min = 0", "autoscale.min = 0: expected `int` >= 1", id="autoscale-to-none"),
        pytest.param("= 120", "= -120", "time_limit_seconds = -120: expected `int` >= 1", id="negative-limit"),
        pytest.param("= 0.5", "= 0", "start_within_seconds = 0: expected `float` > 0.0", id="zero-promise"),
        pytest.param("= 0.5", "= nan", "start_within_seconds = nan: expected `float` > 0.0", id="nan-promise"),
        pytest.param("queue =", "nice = 20\nqueue =", "nice = 20: expected `int` <= 19", id="too-nice"),
        pytest.param(PATTERNS, '"chat"', "tasks = 'chat': expected `array`, got `str`", id="pattern-without-brackets"),
        pytest.param('"shop.pay.now"', "7", "tasks.1 = 7: expected `str`, got `int`", id="number-as-task"),
        pytest.param('"shop.pay.now"', '""', "tasks.1 = '': expected `str` of length >= 1", id="empty-task"),
        pytest.param('"2G"', '"2g"', f"resources.memory = '2g': expected `str` {MEMORY}", id="memory-unit"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(old: str, new: str, problem: str) -> None:
    assert refusal_of(text_with(old, new)) == f"tiers.quick.{problem}: correct the value"


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        pytest.param("3", "fleet.app = 3: expected `str`, got `int`", id="number"),
        pytest.param('"shop-app"', f"fleet.app = 'shop-app': expected `str` {APP}", id="no-module"),
    ],
)
def test_an_application_that_nobody_could_import_is_refused(app: str, problem: str) -> None:
    assert refusal_of(text_with('"shop.tasks:app"', app)) == f"{problem}: correct the value"


def test_a_tier_that_is_no_table_is_refused() -> None:
    text = text_with("[tiers.quick]", "[tiers]\nfast = 4\n[tiers.quick]")

    assert refusal_of(text) == "tiers.fast: expected a table, got 4: write [tiers.fast] with its keys below"


@pytest.mark.parametrize("name", ["all", "dev", "High", "1st", "a b", "ä"])
def test_a_name_that_no_command_could_have_is_refused(name: str) -> None:
    text = text_with("[tiers.quick]", f'[tiers."{name}"]')

    assert refusal_of(text) == f"tiers.{name}: {name!r} cannot name a tier: {NO_TIER_NAME}"


def test_a_queue_used_twice_is_refused_and_named() -> None:
    assert refusal_of(text_with("slow_queue", "quick_queue")) == (
        "tiers.slow.queue = 'quick_queue': tier quick has this queue already: give each tier its own"
    )


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        pytest.param("shop.chat.*", "shop.chat.*", id="the-same-pattern"),
        pytest.param("shop.pay.now", "shop.pay.now", id="the-same-task"),
        pytest.param("shop.chat.send", "shop.chat.*", id="a-task-of-the-other's-pattern"),
        pytest.param("shop.pay.*", "shop.pay.now", id="a-pattern-over-the-other's-task"),
        pytest.param("shop.chat.old.*", "shop.chat.*", id="a-pattern-within-the-other"),
    ],
)
def test_patterns_that_two_tiers_share_are_refused_and_named(theirs: str, mine: str) -> None:
    assert refusal_of(text_with("shop.mail.*", theirs)) == (
        f"tiers.slow.tasks: {theirs!r} overlaps {mine!r} of tier quick: "
        "a task belongs to one tier, make the patterns disjoint"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "min = 2",
            "min = 9",
            "tiers.quick.autoscale: min = 9 is above max = 8: lower min or raise max",
            id="min-above-max",
        ),
        pytest.param("= 4", "= 1", "tiers.quick.concurrency = 1: outside autoscale 2-8: move it between", id="below"),
        pytest.param("= 4", "= 9", "tiers.quick.concurrency = 9: outside autoscale 2-8: move it between", id="above"),
        pytest.param(
            '= "slow"',
            '= "urgent"',
            "fleet.default_tier = 'urgent': no such tier: choose one of quick, slow",
            id="unknown-default-tier",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(old: str, new: str, message: str) -> None:
    assert refusal_of(text_with(old, new)) == message


def test_every_contradiction_has_a_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(TEXT.replace("= 4", "= 9").replace("slow_queue", "quick_queue").replace('= "slow"', '= "urgent"'))

    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)

    assert str(caught.value).splitlines() == [
        "fleet.toml: fleet.default_tier = 'urgent': no such tier: choose one of quick, slow",
        "fleet.toml: tiers.quick.concurrency = 9: outside autoscale 2-8: move it between",
        "fleet.toml: tiers.slow.queue = 'quick_queue': tier quick has this queue already: give each tier its own",
    ]


def test_a_missing_file_is_an_error_that_says_how_to_name_another(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"

    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)

    assert str(caught.value) == f"{path}: no such fleet file: write one, or point DEPLOYTOOLS_FLEET at it"


def test_text_that_is_not_toml_is_refused_with_its_line() -> None:
    message = refusal_of("[fleet]\napp = shop\n")

    assert message.startswith("not valid TOML: ")
    assert message.endswith("(at line 2, column 7): correct that line")


@pytest.mark.parametrize("unreadable", ["a-folder", "bytes-that-are-no-text"])
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path, unreadable: str) -> None:
    path = tmp_path / "fleet.toml"
    if unreadable == "a-folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe")

    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)

    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be read (")
    assert message.endswith("): check the path and its permissions")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('[deploy]\nlabel = { team = "a" }', "deploy.label: unknown key: did you mean 'labels'?"),
        ("[deploy.environment]\nDEBUG = 1", "deploy.environment = {'DEBUG': 1}: expected `str`, got `int`"),
        ('[deploy]\nvolumes = ["/data"]', "deploy.volumes.0 = '/data'"),
        ("[tiers.slow.deploy]\nenv = {}", "tiers.slow.deploy.env: unknown key: the keys here are broker_rules, env"),
        ("[tiers.slow.deploy.patches]\nhelm = {}", "tiers.slow.deploy.patches.helm: unknown key"),
    ],
)
def test_mistakes_in_what_a_deployment_gets_are_refused(section: str, message: str) -> None:
    assert message in refusal_of(f"{TEXT}\n{section}\n")
