"""The environment, read once and turned into values. No other module of this package looks at `os.environ`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploytools.errors import SettingError
from deploytools.fleet import Tier
from deploytools.project import Project, find_project, has_fleet

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the environment says. None means: as declared in the fleet file."""

    broker_url: str | None = None
    broker_password_file: Path | None = None
    concurrency: int | None = None
    autoscale_min: int | None = None
    autoscale_max: int | None = None
    max_tasks_per_child: int | None = None
    log_level: str = "info"
    signing_key_file: Path | None = None
    beat_schedule: Path | None = None
    flower_auth: str | None = None
    flower_auth_file: Path | None = None
    probe_queue: str | None = None
    ledger: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    in_container: bool = False

    def applied_to(self, tier: Tier) -> Tier:
        """Return the tier with the overrides in place of its own numbers.

        A base concurrency that was not overridden follows overridden bounds; two overrides that contradict each other
        raise SettingError.
        """
        scale = msgspec.structs.replace(
            tier.autoscale,
            min=self.autoscale_min or min(tier.autoscale.min, self.autoscale_max or tier.autoscale.min),
            max=self.autoscale_max or max(tier.autoscale.max, self.autoscale_min or 0, self.concurrency or 0),
        )
        if scale.min > scale.max:
            raise SettingError(f"CELERY_AUTOSCALE_MIN={scale.min} is above CELERY_AUTOSCALE_MAX={scale.max}: lower it")
        concurrency = self.concurrency or min(max(tier.concurrency, scale.min), scale.max)
        if not scale.min <= concurrency <= scale.max:
            raise SettingError(
                f"CELERY_CONCURRENCY={concurrency} is outside autoscale {scale.min}-{scale.max} of tier {tier.name}: "
                "move it between them, or set CELERY_AUTOSCALE_MIN and CELERY_AUTOSCALE_MAX too"
            )
        return msgspec.structs.replace(
            tier,
            concurrency=concurrency,
            autoscale=scale,
            max_tasks_per_child=self.max_tasks_per_child or tier.max_tasks_per_child,
        )


# Field of the settings → the variable that names its file.
FILE_VARIABLES = {
    "broker_password_file": "CELERY_BROKER_PASSWORD_FILE",
    "signing_key_file": "CELERY_SIGNING_KEY_FILE",
    "beat_schedule": "CELERY_BEAT_SCHEDULE",
    "flower_auth_file": "FLOWER_BASIC_AUTH_FILE",
    "ledger": "DEPLOYTOOLS_LEDGER",
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Turn environment variables into settings; raise SettingError for a value that cannot be used."""
    level = environ.get("CELERY_LOGLEVEL") or "info"
    if level.lower() not in LOG_LEVELS:
        raise SettingError(f"CELERY_LOGLEVEL={level}: not a log level: use one of {', '.join(LOG_LEVELS)}")
    return Settings(
        broker_url=environ.get("CELERY_BROKER_URL") or None,
        concurrency=_positive(environ, "CELERY_CONCURRENCY"),
        autoscale_min=_positive(environ, "CELERY_AUTOSCALE_MIN"),
        autoscale_max=_positive(environ, "CELERY_AUTOSCALE_MAX"),
        max_tasks_per_child=_positive(environ, "MAX_TASKS_PER_CHILD"),
        log_level=level.lower(),
        flower_auth=environ.get("FLOWER_BASIC_AUTH") or None,
        probe_queue=environ.get("DEPLOYTOOLS_PROBE_QUEUE") or None,
        metrics_host=environ.get("CELERY_METRICS_HOST") or "127.0.0.1",
        metrics_port=_port(environ, "CELERY_METRICS_PORT"),
        in_container="KUBERNETES_SERVICE_HOST" in environ or environ.get("DEPLOYTOOLS_CONTAINER") == "1",
        **{field: _path(environ, name) for field, name in FILE_VARIABLES.items()},
    )


def current_settings() -> Settings:
    """Read this process's environment."""
    return read_settings(os.environ)


def current_environment() -> dict[str, str]:
    """Return this process's environment, to compare it with that of others."""
    return dict(os.environ)


def current_project(packaged_fleet: Path | None = None) -> Project:
    """Find the project around this process's folder; see `find_project`."""
    return find_project(os.environ, Path.cwd(), packaged_fleet)


def current_project_if_any() -> Project | None:
    """Find the project around this process's folder; None where there is no fleet file."""
    return find_project(os.environ, Path.cwd()) if has_fleet(os.environ, Path.cwd()) else None


def absolute_paths() -> dict[str, str]:
    """Return the variables of this process's environment that name files, as other folders see them."""
    paths = {name: _path(os.environ, name) for name in FILE_VARIABLES.values()}
    return {name: str(path) for name, path in paths.items() if path}


def environment_with(**extra: str) -> dict[str, str]:
    """Return this process's environment with some variables set, for a process to be started."""
    return {**os.environ, **extra}


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name)
    return Path(text).absolute() if text else None  # what we start works in another folder


def _positive(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingError(f"{name}={text}: not a number of 1 or more: set a whole number, or unset it")
    return int(text)


def _port(environ: Mapping[str, str], name: str) -> int | None:
    """Return a TCP port, 0 for any that is free, None for `off`."""
    text = environ.get(name) or "0"
    if text == "off":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SettingError(f"{name}={text}: not a port: set 1 to 65535, 0 for any that is free, or off")
    return int(text)


def use_environment(**values: str) -> None:
    """Set variables of this process, for what it imports and starts from here on."""
    os.environ.update(values)


def read_secret(path: Path, variable: str) -> str:
    """Return the first line of a file that a variable names; raise SettingError where there is none."""
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError, UnicodeError) as error:
        why = "it is empty" if isinstance(error, IndexError) else getattr(error, "strerror", None) or "it is no text"
        raise SettingError(f"{variable}={path}: {why}") from None
