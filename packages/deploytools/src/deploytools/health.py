"""Ask a process on this host whether it is well: `python -m deploytools.health 9808 /ready`; exit code 0 or 1.

The health check of a container runs every few seconds, so this imports a socket and nothing else.
"""

import socket
import sys

TIMEOUT_SECONDS = 3.0


def is_well(port: int, path: str) -> bool:
    """Say whether an HTTP server on loopback answers a path with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.read().split(b" ", 2)[1:2] == [b"200"]  # to its end: less is an error in the server's log
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not is_well(int(sys.argv[1]), sys.argv[2]))
