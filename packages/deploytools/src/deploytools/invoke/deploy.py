"""`deploy.roll`: put a new image, or new settings, in place of what runs."""

from typing import Any

from invoke.collection import Collection

from deploytools.invoke.command import command
from deploytools.invoke.secrets import write_secrets
from deploytools.settings import current_project


@command(
    help={
        "tier": "this tier only; all, and beat, otherwise",
        "grace": "seconds a stopping worker has for the tasks it runs; the tier's own otherwise",
        "build": "build the image first",
    }
)
def roll(_: Any, tier: str = "", grace: float = 0.0, build: bool = True) -> None:
    """Replace what runs in compose, a tier at a time: new workers take tasks before old ones stop."""
    from deploytools.deploy.engine import Engine
    from deploytools.deploy.fleet import roll_fleet
    from deploytools.render.compose import FILE

    project = current_project()
    engine = Engine(project=("--file", str(project.root / FILE)))
    if build:
        engine.compose("build", "--quiet")
    if any(path.name == "broker_acl" for path in write_secrets()):
        engine.compose("restart", "broker")  # new queues, new rights; workers connect again by themselves
    roll_fleet(engine, project.fleet(), tier=tier, grace_seconds=grace or None, say=print)


ns = Collection("deploy", roll)
