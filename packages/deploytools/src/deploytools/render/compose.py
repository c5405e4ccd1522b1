"""`compose/compose.yaml`: the whole fleet on one host, with its broker; monitoring and load as profiles."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploytools.commands import worker_task
from deploytools.fleet import Deploy, Resources, Tier
from deploytools.render.container import (
    BROKER_PORT,
    FLOWER_PORT,
    HEALTH_USER,
    METRICS_PORT,
    PROBE_SECONDS,
    SECRETS,
    START_SECONDS,
    STATE,
    USER,
    environment,
)
from deploytools.render.document import merge, to_comment, to_yaml
from deploytools.render.prometheus.scraping import TARGETS
from deploytools.render.rendering import Plan, Rendering
from deploytools.services import BEAT_GRACE_SECONDS

FOLDER = Path("compose")
FILE = FOLDER / "compose.yaml"
SECRETS_FOLDER = FOLDER / "secrets"  # on the host; SECRETS is where containers see them
BROKER = "broker"
BROKER_MEMORY = "512mb"
CPU_PERIOD_MICROSECONDS = 100_000

# Name → what example.env says of it, and its default.
VARIABLES = {
    "FLEET_IMAGE": ("the image of all roles", "celery-fleet:latest"),
    "PYTHON_IMAGE": ("what it is built on", "python:3.12-slim-bookworm"),
    "BROKER_IMAGE": ("Valkey 8, or Redis 7.2 and newer (then BROKER_USER=redis)", "valkey/valkey:8.1"),
    "BROKER_USER": ("who its server runs as: a user of that image", "valkey"),
    "BROKER_PORT": ("where publishers on this host find it, on loopback", str(BROKER_PORT)),
    "FLOWER_PORT": ("where Flower is, on loopback (profile monitoring)", str(FLOWER_PORT)),
    "PROMETHEUS_PORT": ("where Prometheus is, on loopback (profile monitoring)", "9090"),
    "LOCUST_PORT": ("where Locust's page is, on loopback (profile load)", "8089"),
    "CELERY_LOGLEVEL": ("how much workers and beat log", "info"),
}


def render(plan: Plan) -> Iterable[Rendering]:
    """Return the compose file and an example of its variables."""
    origin = plan.origin("render.compose")
    sources = (
        "replicas, memory, cpu_quota (100 000 = one CPU; more than the host has is no limit): `replicas` of the tier",
        "and `resources`. stop_grace_period: its `time_limit_seconds` + 10 s. Environment, volumes, labels: `[deploy]`",
        "and `[tiers.<name>.deploy]`, whose patches are merged last. ${…}: example.env says what they are.",
    )
    text = to_comment(origin, *sources) + to_yaml(merge(_file(plan), plan.fleet.deploy.patches.compose))
    lines = [f"# {what}\n#{name}={default}\n" for name, (what, default) in VARIABLES.items()]
    return (
        Rendering(path=FILE, text=text),
        Rendering(
            path=FOLDER / "example.env",
            text=to_comment(origin, "Copy it to .env beside compose.yaml; what is commented out is the default.")
            + "".join(lines),
        ),
    )


def _file(plan: Plan) -> dict[str, Any]:
    fleet = plan.fleet
    named = [volume.partition(":")[0] for one in (fleet, *fleet) for volume in one.deploy.volumes]
    return {
        "name": "celery-fleet",
        "services": {
            BROKER: _broker(),
            **{f"celery-worker-{tier.name}": _worker(fleet.deploy, tier) for tier in fleet},
            "celery-beat": _beat(fleet.deploy),
            "flower": _flower(fleet.deploy),
            "prometheus": _prometheus(),
            "locust-master": _locust(fleet.deploy, "--master", "--master-bind-host=0.0.0.0", "--web-host=0.0.0.0")
            | {"ports": [_port("LOCUST_PORT", 8089)]},
            "locust-worker": _locust(fleet.deploy, "--worker", "--master-host=locust-master"),
        },
        "secrets": {
            name: {"file": f"./{SECRETS_FOLDER.name}/{name}"}
            for name in ("broker_password", "broker_acl", "flower_auth")
        },
        "volumes": dict.fromkeys(dict.fromkeys([f"{BROKER}-data", "state", "prometheus-data", *named])),
    }


def _worker(fleet: Deploy, tier: Tier) -> dict[str, Any]:
    deploy = fleet.with_tier(tier)
    service = _fleet_service(deploy, worker_task(tier), grace_seconds=tier.grace_seconds)
    service = service | {"deploy": {"replicas": tier.replicas}}
    return merge(merge(service, _limits(tier.resources)), deploy.patches.compose)


def _beat(deploy: Deploy) -> dict[str, Any]:
    return _fleet_service(deploy, "beat", grace_seconds=BEAT_GRACE_SECONDS) | {
        "deploy": {"replicas": 1, "resources": {"limits": {"memory": "256M", "pids": 64}}}
    }


def _flower(deploy: Deploy) -> dict[str, Any]:
    return _fleet_service(
        deploy, "flower", "--address=0.0.0.0", grace_seconds=10, port=FLOWER_PORT, path="/healthcheck"
    ) | {
        "profiles": ["monitoring"],
        "environment": _environment(deploy) | {"FLOWER_BASIC_AUTH_FILE": f"{SECRETS}/flower_auth"},
        "secrets": ["broker_password", "flower_auth"],
        "ports": [_port("FLOWER_PORT", FLOWER_PORT)],
    }


def _locust(deploy: Deploy, *options: str) -> dict[str, Any]:
    return _hardened() | {
        "profiles": ["load"],
        "image": f"{_variable('FLEET_IMAGE')}-load",
        "build": _build("load"),
        "entrypoint": ["locust", "-f", "/app/locustfile.py"],
        "command": list(options),
        "user": f"{USER}:{USER}",
        "environment": _environment(deploy),
        "secrets": ["broker_password"],
        "volumes": _volumes(deploy),
        "stop_grace_period": "10s",
        "depends_on": {BROKER: {"condition": "service_healthy"}},
    }


def _fleet_service(
    deploy: Deploy, *command: str, grace_seconds: int, port: int = METRICS_PORT, path: str = "/ready"
) -> dict[str, Any]:
    return _hardened() | {
        "image": _variable("FLEET_IMAGE"),
        "build": _build("fleet"),
        "command": list(command),
        "user": f"{USER}:{USER}",
        "environment": _environment(deploy),
        "secrets": ["broker_password"],
        "volumes": _volumes(deploy),
        **({"labels": _literal(deploy.labels)} if deploy.labels else {}),
        "healthcheck": _healthcheck("python", "-m", "deploytools.health", str(port), path),
        "stop_grace_period": f"{grace_seconds}s",
        "depends_on": {BROKER: {"condition": "service_healthy"}},
    }


def _broker() -> dict[str, Any]:
    server = {
        "dir": "/data",
        "appendonly": "yes",
        "appendfsync": "everysec",  # a crash may lose two seconds; `always` loses nothing, at a third of the throughput
        "save": "",  # the append-only file has it all
        "maxmemory": BROKER_MEMORY,
        "maxmemory-policy": "noeviction",  # full is an error that publishers see; evicted would be lost
        "aclfile": f"{SECRETS}/broker_acl",
    }
    return _hardened() | {
        "image": _variable("BROKER_IMAGE"),
        "command": [word for name, value in server.items() for word in (f"--{name}", value)],
        "user": _variable("BROKER_USER"),
        "secrets": ["broker_acl"],
        "volumes": [f"{BROKER}-data:/data"],
        "ports": [_port("BROKER_PORT", BROKER_PORT)],
        "healthcheck": _healthcheck(
            "redis-cli", "-e", "--no-auth-warning", "--user", HEALTH_USER, "--pass", "", "ping"
        ),  # Valkey installs it under this name as well
        "stop_grace_period": "30s",
        "deploy": {"resources": {"limits": {"memory": "1G"}}},  # maxmemory, and a copy while the file is rewritten
    }


def _prometheus() -> dict[str, Any]:
    return _hardened() | {
        "profiles": ["monitoring"],
        "image": "prom/prometheus:v2.53.3",
        "command": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "user": "65534:65534",
        # Where the same configuration, read on a host, finds that host's workers: here are none, and no error about it.
        "tmpfs": ["/tmp", f"/{TARGETS}"],  # noqa: S108
        "volumes": [
            {
                "type": "bind",
                "source": "../deploy/prometheus",
                "target": "/etc/prometheus",
                "read_only": True,
                "bind": {"create_host_path": False},
            },
            "prometheus-data:/prometheus",
        ],
        "ports": [_port("PROMETHEUS_PORT", 9090)],
        "healthcheck": _healthcheck("promtool", "check", "ready"),
        "stop_grace_period": "30s",
    }


def _hardened() -> dict[str, Any]:
    """Return what each container is: restarted (the engine backs off, to a minute), without rights, read-only."""
    return {
        "restart": "unless-stopped",
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 — the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _environment(deploy: Deploy) -> dict[str, str]:
    return environment(BROKER) | {"CELERY_LOGLEVEL": _variable("CELERY_LOGLEVEL")} | _literal(deploy.environment)


def _volumes(deploy: Deploy) -> list[str]:
    return [f"state:{STATE}", *deploy.volumes]


def _literal(values: dict[str, str]) -> dict[str, str]:
    """Return values as compose leaves them alone: `$` begins a variable there."""
    return {name: value.replace("$", "$$") for name, value in values.items()}


def _limits(resources: Resources | None) -> dict[str, Any]:
    """Return the limits. Not `cpus`: an engine refuses more of them than its host has."""
    if resources is None:
        return {}
    return {
        "cpu_period": CPU_PERIOD_MICROSECONDS,
        "cpu_quota": round(resources.cpus * CPU_PERIOD_MICROSECONDS),
        "deploy": {"resources": {"limits": {"memory": resources.memory, "pids": 512}}},
    }


def _healthcheck(*argv: str) -> dict[str, Any]:
    return {
        "test": ["CMD", *argv],
        "interval": f"{PROBE_SECONDS // 2}s",
        "timeout": f"{PROBE_SECONDS}s",
        "retries": 6,  # the first success ends the start period, and a fleet is slow for longer
        "start_period": f"{START_SECONDS}s",
    }


def _build(target: str) -> dict[str, Any]:
    return {"context": "..", "target": target, "args": {"BASE": _variable("PYTHON_IMAGE")}}


def _port(variable: str, port: int) -> str:
    return f"127.0.0.1:{_variable(variable)}:{port}"


def _variable(name: str) -> str:
    return f"${{{name}:-{VARIABLES[name][1]}}}"
