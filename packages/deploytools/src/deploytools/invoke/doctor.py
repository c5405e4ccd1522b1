"""`doctor`: known mistakes in a deployment, with their fixes."""

from pathlib import Path
from typing import Any

from deploytools.errors import SettingError
from deploytools.invoke.command import command


@command(
    iterable=["command"],
    help={
        "A": "the Celery application, `module:attribute`; the fleet's otherwise",
        "command": "judge this command line instead of the processes of this host (repeatable)",
        "commands": "a file of such command lines",
        "only": "these rules only, separated by commas",
        "fail-on": "exit with 1 from this severity on: error, warning, note",
        "sarif": "write a SARIF file too",
        "json": "print one JSON object on stdout",
    },
)
def doctor(
    _: Any,
    A: str = "",  # noqa: N803 — Celery's own name for it
    command: list[str] | None = None,
    commands: str = "",
    only: str = "",
    fail_on: str = "error",
    sarif: str = "",
    json_: bool = False,
) -> None:
    """Examine fleet file, application, command lines, broker and workers for known mistakes; exit with 1 on errors."""
    import json

    from deploytools.inspect.doctor.examine import examine
    from deploytools.inspect.doctor.finding import Severity
    from deploytools.inspect.doctor.gather import gather
    from deploytools.inspect.doctor.report import print_examination
    from deploytools.inspect.doctor.sarif import write_sarif
    from deploytools.inspect.doctor.suppressions import read_suppressions

    if fail_on not in set(Severity):
        raise SettingError(f"--fail-on {fail_on}: no such severity: use one of {', '.join(Severity)}")
    lines = [*(command or ()), *_read_commands(commands)]
    gathered = gather(app_name=A, lines=lines)
    examination = examine(
        gathered.evidence, only=[name for name in only.split(",") if name], ignore=read_suppressions(gathered.root)
    )
    if sarif:
        write_sarif(examination, Path(sarif))
    if json_:
        print(json.dumps(examination.as_json()))
    else:
        print_examination(examination)
    examination.raise_if_bad(Severity(fail_on))


def _read_commands(path: str) -> list[str]:
    if not path:
        return []
    try:
        text = Path(path).read_text(encoding="utf-8").replace("\\\n", " ")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingError(f"--commands {path}: {why}: name a file with a command line a line") from None
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
