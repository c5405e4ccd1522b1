"""The toolkit alone, installed from its wheel, runs a project that is not ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until


def install_wheel(shop: ProjectUnderTest, pytestconfig: pytest.Config, tmp_path: Path) -> str:
    """Have the shop use an environment that holds deploytools' built wheel and what it needs, nothing else.

    Return that environment's Python.
    """
    uv = [sys.executable, "-m", "uv", "--quiet"]
    source = pytestconfig.rootpath / "packages" / "deploytools"
    environment = tmp_path / "environment"
    for step in (
        ["build", "--wheel", str(source), "--out-dir", str(tmp_path / "wheels")],
        ["venv", "--python", sys.executable, str(environment)],
    ):
        subprocess.run([*uv, *step], check=True)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--python", str(environment), f"{wheel}[testing]"], check=True)
    shop.program = (str(environment / "bin" / "deploytools"),)
    return str(environment / "bin" / "python")


def test_its_tiers_are_commands_its_tasks_run_and_the_plugin_tests_them(
    shop: ProjectUnderTest, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    python = install_wheel(shop, pytestconfig, tmp_path)
    up = shop.start_command("up")
    up.wait_for_log(" ready.", times=2)
    more = shop.start_command("worker.counter")
    more.wait_for_log(" ready.")

    published = shop.run(python, "-c", "import shop; shop.quick.delay(); shop.nap.delay(0)")

    assert published.returncode == 0, published.stderr
    up.wait_for_log("slept 0")
    wait_until(
        lambda: [len(tier["workers"]) for tier in shop.snapshot()["tiers"].values()] == [2, 1],
        "two workers of the counter and one of the store room to be seen",
    )
    up.stop()
    more.stop()

    tested = shop.run(python, "-m", "pytest", "--broker", "embedded", "-p", "no:cacheprovider")

    assert "1 passed" in tested.stdout, tested.stdout
    assert "brokers: embedded" in tested.stdout
