"""The deployment guide's command lines, as baselines."""

import sys
from pathlib import Path

from deploytools.fleet import Tier


def guide_command(tier: Tier, *, autoscale: bool = True) -> tuple[str, ...]:
    """Return the guide's command line of a worker of a tier ("Worker Optimization Flags" and "Individual Workers")."""
    return (
        *(str(Path(sys.executable).with_name("celery")), "-A", "loadtests.plain:app", "worker"),
        *("-Q", tier.queue, "-n", f"plain-{tier.name}@%h", "-c", str(tier.concurrency), "-l", "info", "-O", "fair"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *("--prefetch-multiplier=1", "--max-tasks-per-child=1000"),
        *([f"--autoscale={tier.autoscale.max},{tier.autoscale.min}"] if autoscale else []),
    )
