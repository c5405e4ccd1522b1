"""What a project offers when it is asked for load."""

from pathlib import Path

import msgspec
import pytest

from deploytools.errors import WorkloadError
from deploytools.fleet import Fleet
from deploytools.load.workload import TaskTemplate, Workload, WorkloadProvider, load_workload_provider

MODULE = """
from deploytools.load.workload import WorkloadProvider, Workload
source = WorkloadProvider(prepare=lambda: Workload(offers=()), environment={"SHOP_SIZE": "small"})
number = 3
"""


def offer(task: str) -> TaskTemplate:
    """Return an offer of a task that takes nothing."""
    return TaskTemplate(task=task, make_arguments=lambda _: ())


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_workload.py").write_text(MODULE)
    (tmp_path / "shop_broken.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_offers_belong_to_the_tier_their_task_is_routed_to(fleet: Fleet) -> None:
    chat, mail, other = offer("app.tasks.chat.answer"), offer("app.tasks.email.send"), offer("shop.count")

    workload = Workload(offers=(chat, mail, other))

    assert {tier.name: workload.of_tier(fleet, tier) for tier in fleet} == {
        "high": (chat,),
        "medium": (other,),
        "low": (mail,),
    }


def test_the_workload_that_the_fleet_names_is_loaded(fleet: Fleet) -> None:
    source = load_workload_provider(msgspec.structs.replace(fleet, workload="shop_workload:source"))

    assert isinstance(source, WorkloadProvider)
    assert source.environment == {"SHOP_SIZE": "small"}
    assert source.prepare() == Workload(offers=())


@pytest.mark.parametrize(
    ("workload", "problem"),
    [
        pytest.param(None, "the fleet file names no workload: add workload", id="none"),
        pytest.param("no_such_module:source", "workload no_such_module:source: No module named", id="no-module"),
        pytest.param("shop_broken:source", "workload shop_broken:source: No module named", id="a-module-that-fails"),
        pytest.param(
            "shop_workload:sauce", "workload shop_workload:sauce: module 'shop_workload' has no", id="no-name"
        ),
        pytest.param(
            "shop_workload:number", "workload shop_workload:number: it is a int, not a WorkloadProvider", id="a-number"
        ),
    ],
)
def test_a_workload_that_cannot_be_loaded_is_an_error_that_names_it(
    fleet: Fleet, workload: str | None, problem: str
) -> None:
    with pytest.raises(WorkloadError) as caught:
        load_workload_provider(msgspec.structs.replace(fleet, workload=workload))

    assert str(caught.value).startswith(problem)
