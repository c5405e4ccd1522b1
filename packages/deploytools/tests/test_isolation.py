"""The guard of conftest.py itself."""

import socket
import subprocess
import sys

import pytest


def test_a_unit_test_cannot_open_a_connection() -> None:
    with socket.socket() as client, pytest.raises(pytest.fail.Exception, match="opened a connection"):
        client.connect(("127.0.0.1", 9))


def test_a_unit_test_cannot_start_a_program() -> None:
    with pytest.raises(pytest.fail.Exception, match="started a program"):
        subprocess.run([sys.executable, "--version"], check=False)
