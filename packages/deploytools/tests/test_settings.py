"""The environment: each variable, values that cannot be used, and what overrides make of a tier."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploytools.errors import SettingError
from deploytools.fleet import Autoscale, Fleet, Tier
from deploytools.settings import (
    Settings,
    current_project,
    current_settings,
    environment_with,
    read_settings,
    use_environment,
)

NUMBERS = ("CELERY_CONCURRENCY", "CELERY_AUTOSCALE_MIN", "CELERY_AUTOSCALE_MAX", "MAX_TASKS_PER_CHILD")


@pytest.mark.parametrize(
    ("variable", "text", "settings"),
    [
        pytest.param("CELERY_BROKER_URL", "redis://host/0", Settings(broker_url="redis://host/0"), id="broker"),
        pytest.param("CELERY_CONCURRENCY", "6", Settings(concurrency=6), id="concurrency"),
        pytest.param("CELERY_AUTOSCALE_MIN", "3", Settings(autoscale_min=3), id="autoscale-min"),
        pytest.param("CELERY_AUTOSCALE_MAX", "10", Settings(autoscale_max=10), id="autoscale-max"),
        pytest.param("MAX_TASKS_PER_CHILD", "50", Settings(max_tasks_per_child=50), id="max-tasks-per-child"),
        pytest.param("CELERY_LOGLEVEL", "WARNING", Settings(log_level="warning"), id="log-level"),
        pytest.param("CELERY_BEAT_SCHEDULE", "/var/beat", Settings(beat_schedule=Path("/var/beat")), id="schedule"),
        pytest.param("FLOWER_BASIC_AUTH", "eve:pw", Settings(flower_auth="eve:pw"), id="flower"),
        pytest.param("DEPLOYTOOLS_PROBE_QUEUE", "probe", Settings(probe_queue="probe"), id="probe-queue"),
        pytest.param("DEPLOYTOOLS_CONTAINER", "1", Settings(in_container=True), id="container"),
        pytest.param("KUBERNETES_SERVICE_HOST", "10.0.0.1", Settings(in_container=True), id="kubernetes"),
    ],
)
def test_each_variable_sets_one_value_and_an_empty_one_sets_none(variable: str, text: str, settings: Settings) -> None:
    assert read_settings({variable: text}) == settings
    if variable != "KUBERNETES_SERVICE_HOST":  # Kubernetes sets it in every container: that it is there is enough
        assert read_settings({variable: ""}) == Settings()


def test_an_empty_environment_leaves_everything_to_the_fleet_file() -> None:
    assert read_settings({}) == Settings()


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("text", ["0", "-2", "+2", "2.5", "two", " 2", "٢"])
def test_a_number_that_cannot_be_used_is_refused_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({variable: text})

    assert str(caught.value) == f"{variable}={text}: not a number of 1 or more: set a whole number, or unset it"


def test_a_log_level_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({"CELERY_LOGLEVEL": "loud"})

    assert str(caught.value) == (
        "CELERY_LOGLEVEL=loud: not a log level: use one of debug, info, warning, error, critical"
    )


@pytest.mark.parametrize(
    ("settings", "smallest", "ordinary", "largest"),
    [
        pytest.param(Settings(), 2, 4, 8, id="nothing-overridden"),
        pytest.param(Settings(concurrency=6), 2, 6, 8, id="concurrency-within"),
        pytest.param(Settings(concurrency=12), 2, 12, 12, id="concurrency-above-raises-max"),
        pytest.param(Settings(autoscale_min=6), 6, 6, 8, id="min-above-concurrency-raises-it"),
        pytest.param(Settings(autoscale_min=10), 10, 10, 10, id="min-above-max-raises-both"),
        pytest.param(Settings(autoscale_max=3), 2, 3, 3, id="max-below-concurrency-lowers-it"),
        pytest.param(Settings(autoscale_max=1), 1, 1, 1, id="max-below-min-lowers-both"),
        pytest.param(Settings(autoscale_min=1, concurrency=1), 1, 1, 8, id="min-and-concurrency"),
        pytest.param(Settings(autoscale_min=3, concurrency=5, autoscale_max=6), 3, 5, 6, id="all-three"),
    ],
)
def test_bounds_and_concurrency_follow_what_is_overridden(
    make_tier: Callable[..., Tier], settings: Settings, smallest: int, ordinary: int, largest: int
) -> None:
    tier = settings.applied_to(make_tier())

    assert tier == make_tier(concurrency=ordinary, autoscale=Autoscale(min=smallest, max=largest))


def test_tasks_per_child_can_be_overridden(make_tier: Callable[..., Tier]) -> None:
    tier = Settings(max_tasks_per_child=50).applied_to(make_tier())

    assert tier == make_tier(max_tasks_per_child=50)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param(
            Settings(autoscale_min=5, autoscale_max=3),
            "CELERY_AUTOSCALE_MIN=5 is above CELERY_AUTOSCALE_MAX=3: lower it",
            id="min-above-max",
        ),
        pytest.param(
            Settings(concurrency=5, autoscale_max=3),
            "CELERY_CONCURRENCY=5 is outside autoscale 2-3 of tier quick: ",
            id="concurrency-above-max",
        ),
        pytest.param(
            Settings(concurrency=3, autoscale_min=5),
            "CELERY_CONCURRENCY=3 is outside autoscale 5-8 of tier quick: ",
            id="concurrency-below-min",
        ),
    ],
)
def test_overrides_that_contradict_each_other_are_refused(
    make_tier: Callable[..., Tier], settings: Settings, problem: str
) -> None:
    with pytest.raises(SettingError) as caught:
        settings.applied_to(make_tier())

    assert str(caught.value).startswith(problem)


numbers = st.none() | st.integers(1, 40)


@given(concurrency=numbers, smallest=numbers, largest=numbers)
def test_overrides_are_obeyed_to_the_letter_or_refused(
    fleet: Fleet, concurrency: int | None, smallest: int | None, largest: int | None
) -> None:
    settings = Settings(concurrency=concurrency, autoscale_min=smallest, autoscale_max=largest)

    for declared in fleet:
        try:
            tier = settings.applied_to(declared)
        except SettingError:
            continue
        assert tier.autoscale.min <= tier.concurrency <= tier.autoscale.max
        assert concurrency in (None, tier.concurrency)
        assert smallest in (None, tier.autoscale.min)
        assert largest in (None, tier.autoscale.max)


def test_the_environment_of_this_process_is_read_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_CONCURRENCY", "3")

    assert current_settings().concurrency == 3


def test_the_project_is_looked_for_from_the_folder_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fleet.toml").touch()
    monkeypatch.delenv("DEPLOYTOOLS_FLEET", raising=False)
    monkeypatch.chdir(tmp_path)

    assert current_project().root == tmp_path.resolve()


def test_a_child_gets_this_environment_and_more_and_this_process_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ADDRESS", "here")

    child = environment_with(SHOP_ADDRESS="there")

    assert child["SHOP_ADDRESS"] == "there"
    assert environment_with()["SHOP_ADDRESS"] == "here"


def test_a_variable_that_is_set_is_seen_by_what_starts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ADDRESS", "here")

    use_environment(SHOP_ADDRESS="there")

    assert environment_with()["SHOP_ADDRESS"] == "there"
