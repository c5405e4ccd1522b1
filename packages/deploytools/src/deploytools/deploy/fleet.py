"""Roll a whole fleet that runs in compose: its tiers, then beat, then the tasks that were too new for it."""

from collections.abc import Callable

from deploytools.deploy.docker import Docker
from deploytools.deploy.roll import roll
from deploytools.fleet import Fleet
from deploytools.render.container import START_SECONDS
from deploytools.services import BEAT_GRACE_SECONDS

BEAT = "celery-beat"


def roll_fleet(
    engine: Docker, fleet: Fleet, *, tier: str, grace_seconds: float | None, say: Callable[[str], None]
) -> None:
    """Roll a tier, or with '' all and beat. `grace_seconds`: None for each tier's own, in which all its tasks end.

    A publisher may have been newer than the workers: what they did not know was put aside, and now comes back.
    """
    tiers = [fleet.tier(tier)] if tier else list(fleet)
    for each in tiers:
        say(f"celery-worker-{each.name}: {each.replicas} new")
        roll(
            engine,
            f"celery-worker-{each.name}",
            count=each.replicas,
            grace_seconds=each.grace_seconds if grace_seconds is None else grace_seconds,
            ready_seconds=START_SECONDS,
        )
    if not tier:
        say(f"{BEAT}: 1 new")
        roll(engine, BEAT, count=1, grace_seconds=BEAT_GRACE_SECONDS, ready_seconds=START_SECONDS)
    replay = ("deploytools", "dead.replay", "--reason=unknown task")
    say(engine.compose("exec", "-T", f"celery-worker-{tiers[0].name}", *replay).strip())
