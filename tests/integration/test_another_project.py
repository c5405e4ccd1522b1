"""The toolkit alone, installed from its wheel, runs a project that is not ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploytools.testing.project import ProjectUnderTest


@pytest.fixture
def shop_elsewhere(pytestconfig: pytest.Config, tmp_path: Path, shop: ProjectUnderTest) -> ProjectUnderTest:
    """Return the shop in an environment that holds the built wheel of deploytools and what it needs, nothing else."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    source = pytestconfig.rootpath / "packages" / "deploytools"
    environment = tmp_path / "environment"
    for step in (
        ["build", "--wheel", str(source), "--out-dir", str(tmp_path / "wheels")],
        ["venv", "--python", sys.executable, str(environment)],
    ):
        subprocess.run([*uv, *step], check=True)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--python", str(environment), str(wheel)], check=True)
    shop.program = (str(environment / "bin" / "deploytools"),)
    return shop


def test_its_tiers_are_commands_and_its_tasks_run(shop_elsewhere: ProjectUnderTest) -> None:
    shop = shop_elsewhere
    python = str(Path(shop.program[0]).with_name("python"))
    up = shop.start_command("up")
    up.wait_for_log(" ready.", times=2)
    more = shop.start_command("worker.counter")
    more.wait_for_log(" ready.")

    published = shop.run(python, "-c", "import shop; shop.quick.delay(); shop.nap.delay(0)")

    assert published.returncode == 0, published.stderr
    up.wait_for_log("slept 0")
    assert {name: len(tier["workers"]) for name, tier in shop.snapshot()["tiers"].items()} == {
        "counter": 2,
        "store_room": 1,
    }
