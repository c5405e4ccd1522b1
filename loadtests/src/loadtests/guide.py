"""The deployment guide's command lines, as baselines."""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploytools.fleet import Tier


def guide_command(tier: Tier, *, autoscale: bool = True, include: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the guide's command line of a worker of a tier ("Worker Optimization Flags" and "Individual Workers").

    `include` are modules to import before the fork.
    """
    return (
        *(str(Path(sys.executable).with_name("celery")), "-A", "loadtests.plain:app", "worker"),
        *("-Q", tier.queue, "-n", f"plain-{tier.name}@%h", "-c", str(tier.concurrency), "-l", "info", "-O", "fair"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *("--prefetch-multiplier=1", f"--max-tasks-per-child={tier.max_tasks_per_child}"),
        *([f"--autoscale={tier.autoscale.max},{tier.autoscale.min}"] if autoscale else []),
        *([f"--include={','.join(include)}"] if include else []),
    )
