"""What a project has decided not to hear about, each with its reason."""

import tomllib
from pathlib import Path

from deploytools.errors import SettingError
from deploytools.inspect.doctor.examine import check_rule

KEY = "[tool.deploytools.doctor] ignore"


def read_suppressions(root: Path) -> dict[str, str]:
    """Return rule id → reason from pyproject.toml; raise SettingError for an unknown rule or a missing reason."""
    path = root / "pyproject.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path}: cannot be read ({error}): correct it") from None
    return check_suppressions(tables.get("tool", {}).get("deploytools", {}).get("doctor", {}).get("ignore", {}))


def check_suppressions(ignore: object) -> dict[str, str]:
    """Check what the table says."""
    if not isinstance(ignore, dict):
        raise SettingError(f'{KEY}: expected a table of reasons: write {{ "rule-id" = "why" }}')
    for name, reason in ignore.items():
        check_rule(name, KEY)
        if not isinstance(reason, str) or not reason.strip():
            raise SettingError(f"{KEY}: {name} has no reason: say why it does not matter here")
    return ignore
