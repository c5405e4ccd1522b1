"""What every container of the fleet is, whoever runs it: the image's user, folder and port, and its variables."""

# The image's own (see Dockerfile), said again so that an orchestrator can check it.
USER = 10001
STATE = "/var/lib/fleet"
METRICS_PORT = 9808
FLOWER_PORT = 5555

BROKER_USER = "fleet"
HEALTH_USER = "health"  # needs no password, and may send PING
BROKER_PORT = 6379
SECRETS = "/run/secrets"

# A worker that was taken out of the list of endpoints too early costs nothing, one that is asked too often does.
PROBE_SECONDS = 10
# From exec to consuming: 0.7 s on an idle machine; a loaded one that starts a whole fleet at once takes minutes.
START_SECONDS = 120


def environment(broker_host: str) -> dict[str, str]:
    """Return what every process of the fleet is told: where the broker is, and which file its password is in."""
    return {
        "CELERY_BROKER_URL": f"redis://{BROKER_USER}@{broker_host}:{BROKER_PORT}/0",
        "CELERY_BROKER_PASSWORD_FILE": f"{SECRETS}/broker_password",
    }
