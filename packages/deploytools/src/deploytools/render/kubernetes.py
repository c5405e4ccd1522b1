"""`deploy/kubernetes`: a Deployment a tier, scaled on its wait; beat; what closes them off. A base for kustomize."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from deploytools.commands import worker_task
from deploytools.fleet import Deploy, Fleet, Resources, Tier
from deploytools.render.container import (
    BROKER_PORT,
    METRICS_PORT,
    PROBE_SECONDS,
    SECRETS,
    START_SECONDS,
    STATE,
    USER,
)
from deploytools.render.document import merge, to_comment, to_yaml
from deploytools.render.prometheus.scraping import JOB
from deploytools.render.rendering import Plan, Rendering
from deploytools.services import BEAT_GRACE_SECONDS

FOLDER = Path("deploy/kubernetes")
IMAGE = "celery-fleet"  # kustomize puts the real name and tag in its place
PART_OF = {"app.kubernetes.io/part-of": "celery-fleet"}
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
MONITORING = "monitoring"  # the namespace that may read metrics
BROKER_SECRET = "celery-broker"  # noqa: S105 — its name; keys: url (without the password), host, port, username, password
APP_SECRET = "celery-app"  # noqa: S105 — its name; variables of the application
TIER_LABEL = "tier"
# A tier's `replicas` is what ordinary demand needs; so many times that is where scaling ends, unless it is patched.
SURGE = 4
MAX_LABEL = 40  # a pod's name adds two hashes, and a label has 63 characters

Manifest = dict[str, Any]


def render(plan: Plan) -> Iterable[Rendering]:
    """Return the manifests, a file for each part of the fleet, and what lists them."""
    origin = plan.origin("render.kubernetes")
    fleet = plan.fleet
    files = {
        "fleet.yaml": [_service_account(), _network_policy(), _pod_monitor(), _trigger_authentication()],
        **{f"{worker_name(tier)}.yaml": list(_worker(fleet.deploy, tier)) for tier in fleet},
        "celery-beat.yaml": [_beat(fleet.deploy)],
    }
    sources = (
        "resources: `resources` of the tier; terminationGracePeriodSeconds: its `time_limit_seconds` + 10 s;",
        "thresholds: `start_within_seconds` and `autoscale`; replicas: `replicas`, scaled to four times that.",
        "There is no preStop: no traffic is routed to a worker, and SIGTERM alone makes it take no more tasks and",
        "finish those it has.",
    )
    for name, manifests in files.items():
        patched = [_patched(manifest, fleet) for manifest in manifests]
        yield Rendering(path=FOLDER / name, text=to_comment(origin, *sources) + to_yaml(*patched))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
        "images": [{"name": IMAGE, "newName": IMAGE, "newTag": "latest"}],
    }
    text = to_comment(origin, "Use it as a base; the secrets it refers to are yours to make: see docs/howto-deploy.md.")
    yield Rendering(path=FOLDER / "kustomization.yaml", text=text + to_yaml(kustomization))


def worker_name(tier: Tier) -> str:
    """Return the name of a tier's objects: the tier's where that may name a Kubernetes object, else like it."""
    name = tier.name.replace("_", "-").strip("-")[:MAX_LABEL].strip("-")
    return f"celery-worker-{name}" if name == tier.name else f"celery-worker-{name}-{crc32(tier.name.encode()):08x}"


def _patched(manifest: Manifest, fleet: Fleet) -> Manifest:
    key = f"{manifest['kind']}/{manifest['metadata']['name']}"
    return merge(manifest, fleet.deploy.patches.kubernetes.get(key, {}))


def _worker(fleet: Deploy, tier: Tier) -> Iterator[Manifest]:
    name, deploy = worker_name(tier), fleet.with_tier(tier)
    pod = _pod(
        name,
        deploy,
        worker_task(tier),
        tier=tier.name,
        grace_seconds=tier.grace_seconds,
        resources=_resources(tier.resources),
    )
    # No number of replicas: the ScaledObject has it, and applying this again must not undo what it did.
    deployment = _object(
        "apps/v1",
        "Deployment",
        name,
        selector={"matchLabels": _selector(name)},
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
        template=pod,
    )
    yield merge(deployment, deploy.patches.kubernetes)
    yield _object(
        "policy/v1",
        "PodDisruptionBudget",
        name,
        selector={"matchLabels": _selector(name)},
        maxUnavailable=1,
        unhealthyPodEvictionPolicy="AlwaysAllow",
    )
    yield _scaled_object(name, tier)


def _scaled_object(name: str, tier: Tier) -> Manifest:
    """Return what scales a tier: so many workers that the wait is what it promises.

    Where Prometheus is silent, and before the first task of a flood has started, the queue's length counts: a round of
    tasks for each worker.
    """
    of = f'{{tier="{tier.name}"}}'
    waits = f"sum by (le) (rate(celery_task_wait_seconds_bucket{of}[2m]))"
    wait = f"(histogram_quantile(0.99, {waits}) >= 0) or max(celery_queue_oldest_seconds{of}) or vector(0)"
    return _object(
        "keda.sh/v1alpha1",
        "ScaledObject",
        name,
        scaleTargetRef={"name": name},
        minReplicaCount=tier.replicas,
        maxReplicaCount=tier.replicas * SURGE,
        pollingInterval=15,
        # A worker that is taken away gives back nothing before its tasks ended; do it rarely, and one at a time.
        cooldownPeriod=max(300, tier.grace_seconds),
        advanced={
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": 300,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    }
                }
            }
        },
        triggers=[
            {
                "type": "prometheus",
                "name": "wait",
                "metricType": "Value",
                "metadata": {"serverAddress": PROMETHEUS, "query": wait, "threshold": f"{tier.start_within_seconds:g}"},
            },
            {
                "type": "redis",
                "name": "depth",
                "metadata": {"listName": tier.queue, "listLength": str(tier.autoscale.max)},
                "authenticationRef": {"name": BROKER_SECRET},
            },
        ],
    )


def _beat(deploy: Deploy) -> Manifest:
    resources = _resources(Resources(cpus=0.1, memory="256M"))
    pod = _pod("celery-beat", deploy, "beat", tier="beat", grace_seconds=BEAT_GRACE_SECONDS, resources=resources)
    # Its lease in the broker makes a second one stand by, so two do no harm either.
    return _object(
        "apps/v1",
        "Deployment",
        "celery-beat",
        replicas=1,
        selector={"matchLabels": _selector("celery-beat")},
        strategy={"type": "Recreate"},
        template=pod,
    )


def _pod(
    name: str, deploy: Deploy, command: str, *, tier: str, grace_seconds: int, resources: Mapping[str, Any]
) -> Manifest:
    claims = [(f"volume-{number}", *volume.split(":")) for number, volume in enumerate(deploy.volumes)]
    container = {
        "name": "celery",
        "image": IMAGE,
        "args": [command],
        "env": [
            {"name": "CELERY_BROKER_URL", "valueFrom": {"secretKeyRef": {"name": BROKER_SECRET, "key": "url"}}},
            {"name": "CELERY_BROKER_PASSWORD_FILE", "value": f"{SECRETS}/broker_password"},
            *({"name": key, "value": value} for key, value in deploy.environment.items()),
        ],
        "envFrom": [{"secretRef": {"name": APP_SECRET, "optional": True}}],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "startupProbe": _probe("/live") | {"failureThreshold": START_SECONDS // PROBE_SECONDS},
        "livenessProbe": _probe("/live"),
        "readinessProbe": _probe("/ready"),
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "broker", "mountPath": SECRETS, "readOnly": True},
            {"name": "state", "mountPath": STATE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 — the container's own
            *({"name": one[0], "mountPath": one[2], "readOnly": one[3:] == ("ro",)} for one in claims),
        ],
    }
    secret = {
        "secretName": BROKER_SECRET,
        "items": [{"key": "password", "path": "broker_password"}],
        "defaultMode": 0o440,
    }
    return {
        "metadata": {"labels": {**deploy.labels, **_selector(name), TIER_LABEL: tier}},
        "spec": {
            "serviceAccountName": "celery",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [
                _spread(name, key) for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
            ],
            "containers": [container],
            "volumes": [
                {"name": "broker", "secret": secret},
                {"name": "state", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                *({"name": one[0], "persistentVolumeClaim": {"claimName": one[1]}} for one in claims),
            ],
        },
    }


def _service_account() -> Manifest:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "celery", "labels": PART_OF}}
    return account | {"automountServiceAccountToken": False}


def _network_policy() -> Manifest:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}}
    return _object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "celery",
        podSelector={"matchLabels": PART_OF},
        policyTypes=["Ingress", "Egress"],
        ingress=[{"from": [monitoring], "ports": [_port(METRICS_PORT)]}],
        # Names, the broker, and services behind TLS; what else the application talks to is a patch.
        egress=[{"ports": [_port(53, "UDP"), _port(53), _port(BROKER_PORT), _port(443)]}],
    )


def _pod_monitor() -> Manifest:
    """Return what has Prometheus scrape the pods, with the labels the alerts go by."""
    labels = {"tier": f"__meta_kubernetes_pod_label_{TIER_LABEL}", "worker": "__meta_kubernetes_pod_name"}
    endpoint = {
        "port": "metrics",
        "path": "/metrics",
        "interval": "15s",
        "honorLabels": True,
        "relabelings": [
            {"targetLabel": "job", "replacement": JOB},
            *({"sourceLabels": [source], "targetLabel": target} for target, source in labels.items()),
        ],
    }
    return _object(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        "celery",
        selector={"matchLabels": PART_OF},
        podMetricsEndpoints=[endpoint],
    )


def _trigger_authentication() -> Manifest:
    parameters = ("host", "port", "username", "password")
    return _object(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        BROKER_SECRET,
        secretTargetRef=[{"parameter": each, "name": BROKER_SECRET, "key": each} for each in parameters],
    )


def _object(version: str, kind: str, name: str, **spec: Any) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": PART_OF}, "spec": spec}


def _selector(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, **PART_OF}


def _spread(name: str, key: str) -> Manifest:
    labels = {"labelSelector": {"matchLabels": _selector(name)}}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", **labels}


def _resources(resources: Resources | None) -> Manifest:
    if resources is None:
        return {}
    amounts = {"cpu": f"{resources.cpus:g}", "memory": f"{resources.memory}i"}
    return {"requests": amounts, "limits": amounts}


def _probe(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": PROBE_SECONDS, "timeoutSeconds": 5}


def _port(port: int, protocol: str = "TCP") -> Manifest:
    return {"protocol": protocol, "port": port}
