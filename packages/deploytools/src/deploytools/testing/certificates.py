"""Certificates of a test run's own authority, for servers on this host."""

import fcntl
from pathlib import Path


def make_certificates(folder: Path) -> Path:
    """Write `ca.pem`, `server.pem` and `server.key` into a folder, and return it; any number of processes may call."""
    import docker
    import trustme

    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ca.pem").exists():
            bridge = docker.from_env().networks.get("bridge").attrs["IPAM"]["Config"]
            gateways = [part["Gateway"] for part in bridge if "Gateway" in part]  # containers see ports there
            authority = trustme.CA()
            server = authority.issue_cert("localhost", "127.0.0.1", *gateways)
            server.private_key_pem.write_to_path(str(folder / "server.key"))
            (folder / "server.key").chmod(0o644)  # the server in a container is another user
            server.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
            authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder
