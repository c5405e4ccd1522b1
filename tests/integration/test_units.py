"""Rendered files, read by the programs they are for."""

import subprocess
from pathlib import Path

import pytest

from deploytools.fleet import load_fleet
from deploytools.render import systemd
from deploytools.render.rendering import Plan, write

ANALYZE = Path("/usr/bin/systemd-analyze")
# What systemd has understood since version 254, and older ones ignore; what is there on a host where the fleet is.
NOT_HERE = ("RestartSteps", "RestartMaxDelaySec", "/opt/celery-fleet/venv/bin/deploytools")


@pytest.mark.skipif(not ANALYZE.exists(), reason="systemd is not installed")
def test_systemd_understands_every_line_of_the_units(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    fleet = load_fleet(pytestconfig.rootpath / "packages/app/src/app/fleet.toml")
    paths = write(systemd.render(Plan(fleet=fleet, fleet_path=Path("fleet.toml"))), tmp_path)

    done = subprocess.run(
        [str(ANALYZE), "verify", *(str(tmp_path / str(path).replace("@.", "@1.")) for path in paths)],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path / systemd.FOLDER}:"},
        timeout=60,
    )

    ours = [line for line in done.stderr.splitlines() if "celery" in line]
    assert [line for line in ours if not any(word in line for word in NOT_HERE)] == []
