"""`deploy/systemd`: a template unit a tier, beat, and a target that holds them; for hosts without containers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from deploytools.commands import worker_task
from deploytools.fleet import Deploy, Resources, Tier
from deploytools.render.document import merge, to_comment
from deploytools.render.rendering import Plan, Rendering
from deploytools.services import BEAT_GRACE_SECONDS

FOLDER = Path("deploy/systemd")
PROGRAM = "/opt/celery-fleet/venv/bin/deploytools"
CONFIGURATION = "/etc/celery-fleet"
TARGET = "celery.target"

Sections = Mapping[str, Mapping[str, str | Iterable[str]]]

HARDENING = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectProc": "invisible",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "LockPersonality": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "UMask": "0027",
}


def render(plan: Plan) -> Iterable[Rendering]:
    """Return the units."""
    fleet = plan.fleet
    origin = to_comment(
        plan.origin("render.systemd"),
        "TimeoutStopSec: `time_limit_seconds` of the tier + 10 s. CPUQuota, MemoryMax: its `resources`. How many",
        f"{TARGET} wants: its `replicas`. Environment: `[deploy]`, `[tiers.<name>.deploy]`, whose patches come last.",
    )
    units = {f"celery-{tier.name}@.service": _worker(fleet.deploy, tier) for tier in fleet}
    beat = _service(fleet.deploy, "beat", "Celery beat", grace_seconds=BEAT_GRACE_SECONDS)
    units["celery-beat.service"] = merge(beat, fleet.deploy.patches.systemd)
    workers = [f"celery-{tier.name}@{number}.service" for tier in fleet for number in range(1, tier.replicas + 1)]
    units[TARGET] = {
        "Unit": {"Description": "The Celery fleet", "Wants": [*workers, "celery-beat.service"]},
        "Install": {"WantedBy": "multi-user.target"},
    }
    return [Rendering(path=FOLDER / name, text=origin + to_unit(sections)) for name, sections in units.items()]


def to_unit(sections: Sections) -> str:
    """Return the text of a unit file; a value of many words of its own is a line for each."""
    return "".join(f"\n[{name}]\n" + "".join(_lines(entries)) for name, entries in sections.items())


def _lines(entries: Mapping[str, str | Iterable[str]]) -> Iterable[str]:
    for key, value in entries.items():
        for one in [value] if isinstance(value, str) else value:
            yield f"{key}={one}\n"


def _worker(fleet: Deploy, tier: Tier) -> Sections:
    deploy = fleet.with_tier(tier)
    unit = _service(
        deploy, worker_task(tier), f"Celery worker %i of tier {tier.name}", grace_seconds=tier.grace_seconds
    )
    for more in ({"Service": _limits(tier.resources)}, fleet.patches.systemd, deploy.patches.systemd):
        unit = merge(unit, more)
    return unit


def _service(deploy: Deploy, command: str, description: str, *, grace_seconds: int) -> Sections:
    writable = [volume.split(":")[1] for volume in deploy.volumes if not volume.endswith(":ro")]
    return {
        "Unit": {
            "Description": description,
            "Wants": "network-online.target",
            "After": "network-online.target",
            "PartOf": TARGET,
            "StartLimitIntervalSec": "0",  # a broker may be away for longer than systemd's patience
        },
        "Service": {
            "Type": "exec",
            "User": "celery",
            "WorkingDirectory": "/opt/celery-fleet",
            "EnvironmentFile": f"-{CONFIGURATION}/environment",
            "LoadCredential": f"broker_password:{CONFIGURATION}/broker_password",
            "Environment": [
                "CELERY_BROKER_PASSWORD_FILE=%d/broker_password",
                "DEPLOYTOOLS_STATE=%S/celery-fleet",
                "DEPLOYTOOLS_CONTAINER=1",  # a broker of its own is never the answer here
                *(f'"{_escape(f"{name}={value}")}"' for name, value in deploy.environment.items()),
            ],
            "ExecStart": f"{PROGRAM} {command}",
            "Restart": "always",
            "RestartSec": "1",
            "RestartSteps": "6",
            "RestartMaxDelaySec": "60",
            "KillMode": "mixed",  # SIGTERM for the worker, which ends its processes when their tasks have ended
            "TimeoutStopSec": str(grace_seconds),
            "StateDirectory": "celery-fleet",
            **({"ReadWritePaths": writable} if writable else {}),
            **HARDENING,
        },
        "Install": {"WantedBy": TARGET},
    }


def _limits(resources: Resources | None) -> dict[str, str]:
    if resources is None:
        return {}
    return {"CPUQuota": f"{resources.cpus * 100:g}%", "MemoryMax": resources.memory, "TasksMax": "512"}


def _escape(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%")):
        text = text.replace(plain, escaped)
    return text
