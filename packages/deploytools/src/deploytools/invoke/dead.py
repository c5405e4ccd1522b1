"""`dead.list`, `dead.show`, `dead.replay`, `dead.purge`: messages that nobody could run."""

from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from deploytools.errors import SettingError
from deploytools.invoke.command import check_tier, command
from deploytools.invoke.inspection import reach
from deploytools.settings import current_project

if TYPE_CHECKING:
    from deploytools.inspect.dead import DeadLetter

WHICH = {
    "tier": "of this tier only",
    "task": "of this task only",
    "reason": "for this reason only: unreadable, unknown task, invalid, retries exhausted, delivery limit, rejected",
}


@command(name="list", help=WHICH | {"json": "print one JSON object a line on stdout"})
def list_(_: Any, tier: str = "", task: str = "", reason: str = "", json_: bool = False) -> None:
    """Show the dead letters: which tasks, why, since when."""
    import json
    from dataclasses import asdict

    from deploytools.inspect.layout import print_table
    from deploytools.inspect.tables import dead_letters_table

    letters = _read(tier, task, reason)
    if json_:
        for letter in letters:
            print(json.dumps(asdict(letter)))
        return
    print_table(dead_letters_table(letters))


@command(help={"id": "as `dead.list` shows it"}, positional=["id"])
def show(_: Any, id: str) -> None:  # noqa: A002 — the option's name
    """Show one dead letter, its message included."""
    import json
    from dataclasses import asdict

    found = [letter for letter in _read("", "", "") if letter.id == id]
    if not found:
        raise SettingError(f"dead.show {id}: no such dead letter: `dead.list` shows their ids")
    print(json.dumps(asdict(found[0]), indent=2))


@command(help=WHICH | {"id": "this one only"})
def replay(_: Any, tier: str = "", task: str = "", reason: str = "", id: str = "") -> None:  # noqa: A002
    """Publish dead letters to their queues again, all that can be read; twice changes nothing."""
    letters = _only(id, _read(tier, task, reason))
    readable = [letter for letter in letters if letter.message is not None]
    print(f"replayed {_take_out(readable, replay=True)}, left {len(letters) - len(readable)} that cannot be read")


@command(help=WHICH | {"id": "this one only", "yes": "really: they cannot be brought back"})
def purge(_: Any, tier: str = "", task: str = "", reason: str = "", id: str = "", yes: bool = False) -> None:  # noqa: A002
    """Forget dead letters."""
    letters = _only(id, _read(tier, task, reason))
    if not yes:
        raise SettingError(f"dead.purge: {len(letters)} dead letters would be gone for good: add --yes")
    print(f"purged {_take_out(letters, replay=False)}")


def _read(tier: str, task: str, reason: str) -> list["DeadLetter"]:
    from deploytools.app import load_app
    from deploytools.inspect.dead import read_dead_letters
    from deploytools.transport.dead import Reason

    project = current_project()
    fleet = project.fleet()
    check_tier(fleet, tier)
    if reason and reason not in set(Reason):
        raise SettingError(f"--reason {reason}: no such reason: use one of {', '.join(Reason)}")
    reach()
    letters = read_dead_letters(load_app(project, fleet), fleet)
    return [one for one in letters if one.matches(tier=tier or None, task=task or None, reason=reason or None)]


def _only(id_: str, letters: list["DeadLetter"]) -> list["DeadLetter"]:
    chosen = [letter for letter in letters if id_ in {"", letter.id}]
    if id_ and not chosen:
        raise SettingError(f"--id {id_}: no such dead letter: `dead.list` shows their ids")
    return chosen


def _take_out(letters: list["DeadLetter"], *, replay: bool) -> int:
    from deploytools.app import load_app
    from deploytools.inspect.dead import take_out

    project = current_project()
    return take_out(load_app(project, project.fleet()), letters, replay=replay)


ns = Collection("dead", list_, show, replay, purge)
