"""Stop an embedded broker after the process that started it has ended, SIGKILL included.

`python -m deploytools.broker.reaper STATE`: only the process that started the broker has the other end of the pipe that
is stdin here, and the kernel closes it. Workers in a warm shutdown still acknowledge tasks, so the broker stops after
its last client has disconnected.
"""

import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

POLL_SECONDS = 0.2


@cache  # holds the pipe open until this process ends
def start_reaper(state: Path) -> "subprocess.Popen[bytes]":
    """Start the reaper of the broker of a state folder, once, in a session that no Ctrl-C reaches."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "deploytools.broker.reaper", str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(state: Path) -> None:
    """Wait for the end of the process that started the broker, then for the end of its clients; stop the broker."""
    sys.stdin.buffer.read()
    from deploytools.broker.embedded import EmbeddedBroker  # imports nothing before it is needed: saves 20 MiB

    broker = EmbeddedBroker(state=state)
    while _has_clients(broker.client()):
        time.sleep(POLL_SECONDS)
    broker.stop()


def _has_clients(client: "redis.Redis") -> bool:
    import redis

    try:
        return int(client.info("clients")["connected_clients"]) > 1  # one is this client
    except redis.TimeoutError:
        return True  # it hangs, and may have some
    except redis.ConnectionError:
        return False  # it has stopped


if __name__ == "__main__":
    main(Path(sys.argv[1]))
