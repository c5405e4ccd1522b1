"""How much load one Locust process can generate on time: `python -m loadtests.generator [--per-second 800]`.

No workers run, as if they were on other hosts: what is measured is the generator and the broker. Prints tasks sent a
second and how late they were sent (p99); exits with 1 when that is more than a load run allows.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from deploytools.broker.embedded import EmbeddedBroker
from deploytools.load.profile import PROFILES, Stream
from deploytools.load.result import MAX_SEND_DELAY_SECONDS
from deploytools.load.run import locust_argv
from deploytools.settings import current_project, environment_with

PROFILE = "steady"


def measure(per_second: float, seconds: int) -> tuple[float, float]:
    """Return tasks sent a second, and seconds they were late at p99."""
    project = current_project()
    tightest, others = PROFILES[PROFILE].tightest, PROFILES[PROFILE].others
    assert isinstance(tightest, Stream)  # noqa: S101
    assert isinstance(others, Stream)  # noqa: S101
    ordinary = tightest.per_second + others.per_second * (len(project.fleet().tiers) - 1)
    with TemporaryDirectory(prefix="generator-") as name:
        broker, result = EmbeddedBroker(state=Path(name)), Path(name) / "run.json"
        argv = locust_argv(
            PROFILE, result=result, seconds=seconds, synthetic_seconds=0.001, times=per_second / ordinary, processes=1
        )
        broker.start()
        try:
            env = environment_with(CELERY_BROKER_URL=broker.address.url)
            subprocess.run(argv, check=False, env=env, cwd=project.root, capture_output=True)
        finally:
            broker.stop()
        run = json.loads(result.read_text())
    return sum(tier["sent"] for tier in run["tiers"]) / seconds, run["send_delay_p99_seconds"]


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.generator", description="Measure the load generator.")
    parser.add_argument("--per-second", type=float, default=800.0, metavar="N", help="tasks to send, of all tiers")
    parser.add_argument("--seconds", type=int, default=10, help="for how long")
    options = parser.parse_args()
    sent, send_delay_seconds = measure(options.per_second, options.seconds)
    allowed = f"{MAX_SEND_DELAY_SECONDS * 1000:g} allowed"
    print(f"{sent:.0f} tasks/s sent, send delay p99 {send_delay_seconds * 1000:.1f} ms ({allowed})")
    return int(send_delay_seconds > MAX_SEND_DELAY_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
