"""`deploy.roll`: put a new image, or new settings, in place of what runs."""

from typing import Any

from invoke.collection import Collection

from deploytools.invoke.command import check_tier, command
from deploytools.invoke.secrets import write_secrets
from deploytools.settings import current_project


@command(
    help={
        "tier": "this tier only; all, and beat, otherwise",
        "grace": "seconds a stopping worker has for the tasks it runs, 0 for none; the tier's own otherwise",
        "build": "build the image first",
    }
)
def roll(_: Any, tier: str = "", grace: float = -1.0, build: bool = True) -> None:
    """Replace what runs in compose, a tier at a time: new workers take tasks before old ones stop."""
    from deploytools.deploy.docker import Docker
    from deploytools.deploy.fleet import roll_fleet
    from deploytools.render.compose import FILE

    project = current_project()
    fleet = project.fleet()
    check_tier(fleet, tier)
    engine = Docker(project=("--file", str(project.root / FILE)))
    if build:
        engine.compose("build", "--quiet")
    if any(path.name == "broker_acl" for path in write_secrets()):
        engine.compose("restart", "broker")  # new queues, new rights; workers connect again by themselves
    roll_fleet(engine, fleet, tier=tier, grace_seconds=None if grace < 0 else grace, say=print)


ns = Collection("deploy", roll)
