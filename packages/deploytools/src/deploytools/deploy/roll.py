"""Replace a service's containers: new ones take tasks before old ones stop, and old ones finish what they have."""

import time
from collections.abc import Callable, Iterable

from deploytools.deploy.docker import Docker
from deploytools.errors import VerdictError

POLL_SECONDS = 0.5
# To give back what a worker still runs; measured: 1.2 s.
HURRY_SECONDS = 10.0


def roll(engine: Docker, service: str, *, count: int, grace_seconds: float, ready_seconds: float) -> None:
    """Start `count` new containers, wait until they are ready, then stop the old ones.

    New ones that are not ready in time are removed, the old ones go on, and VerdictError is raised. An old worker takes
    no more tasks; what still runs in it after `grace_seconds` goes back to the queue.
    """
    old = engine.containers(service)
    scale = f"{service}={len(old) + count}"
    try:
        engine.compose("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, service)
    except VerdictError:
        retire(engine, [each for each in engine.containers(service) if each not in old], grace_seconds=grace_seconds)
        raise
    new = [each for each in engine.containers(service) if each not in old]
    if not _wait(lambda: _are_ready(engine, new), ready_seconds):
        said = engine.last_word(new[0]) if new else "compose started none"
        retire(engine, new, grace_seconds=grace_seconds)  # some may run tasks already
        raise VerdictError(f"{service}: not ready in {ready_seconds:g} s, the old ones go on: {said}")
    retire(engine, old, grace_seconds=grace_seconds)


def retire(engine: Docker, ids: Iterable[str], *, grace_seconds: float) -> None:
    """Stop containers and remove them: SIGTERM, SIGQUIT after `grace_seconds`, SIGKILL ten seconds later."""
    ids = list(ids)
    if not ids:
        return
    engine.docker("update", "--restart=no", *ids)  # the engine would start again what a signal of ours ended
    for signal, seconds in (("TERM", grace_seconds), ("QUIT", HURRY_SECONDS)):
        running = _running(engine, ids)
        if running:
            engine.docker("kill", f"--signal={signal}", *running)
            _wait(lambda: not _running(engine, ids), seconds)
    _remove(engine, ids)


def _are_ready(engine: Docker, ids: list[str]) -> bool:
    states = [each["State"] for each in engine.inspect(ids)] if ids else []
    return bool(states) and all(state.get("Health", {}).get("Status") == "healthy" for state in states)


def _running(engine: Docker, ids: list[str]) -> list[str]:
    return [each["Id"] for each in engine.inspect(ids) if each["State"]["Running"]]


def _remove(engine: Docker, ids: list[str]) -> None:
    if ids:
        engine.docker("rm", "--force", *ids)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(POLL_SECONDS)
    return True
