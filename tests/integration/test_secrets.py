"""A broker's password appears nowhere."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploytools.broker.embedded import find_server
from deploytools.testing.processes import Running, running
from deploytools.testing.project import ProjectUnderTest

PASSWORD = "s3cret-Pa55word"  # noqa: S105 — of a server that this test starts


@pytest.fixture
def guarded_url(tmp_path: Path, free_port: int) -> Iterator[str]:
    """Return the URL of a broker on TCP that asks for a password."""
    argv = [str(find_server()), "--port", str(free_port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    log_path = tmp_path / "guarded.log"
    with running([*argv, "--requirepass", PASSWORD], log_path=log_path) as server:
        server.wait_for_log("Ready to accept connections")
        yield f"redis://:{PASSWORD}@127.0.0.1:{free_port}/0"


def test_a_password_is_in_no_output_log_or_process_title(project: ProjectUnderTest, guarded_url: str) -> None:
    up = project.start_command("up", CELERY_BROKER_URL=guarded_url, CELERY_LOGLEVEL="debug")
    up.wait_for_log(" ready.", times=3)

    outputs = [
        project.command(*words, CELERY_BROKER_URL=guarded_url)
        for words in (["inspect"], ["stats", "--json"], ["queues"], ["broker.status"], ["worker.high", "--dry"])
    ]

    assert [done.returncode for done in outputs] == [0] * len(outputs), outputs
    for done in outputs:
        assert PASSWORD not in done.stdout + done.stderr
    assert PASSWORD not in titles(up)
    up.stop()
    assert PASSWORD not in up.log()


def test_a_wrong_password_is_one_line_and_an_exit_code(project: ProjectUnderTest, guarded_url: str) -> None:
    done: subprocess.CompletedProcess[str] = project.command(
        "worker.high", CELERY_BROKER_URL=guarded_url.replace(PASSWORD, "wr0ng")
    )

    assert done.returncode == 6
    [line] = done.stderr.splitlines()
    assert "check user and password" in line
    assert "wr0ng" not in line


def titles(up: Running) -> str:
    return "\n".join(" ".join(process.cmdline()) for process in [psutil.Process(up.pid), *up.children()])
