"""Take the pictures of the README and the docs again, each from a run: `python -m loadtests.pictures [demo report …]`.

`report` and `locust` take one picture of a flood each; `demo` takes `demo.svg` and, while that runs, `top.svg`. It
needs two idle cores and Chromium, and no network.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from deploytools.app import load_app
from deploytools.broker.embedded import EmbeddedBroker
from deploytools.inspect.top.gather import Gatherer
from deploytools.inspect.top.screen import TopScreen
from deploytools.metrics.endpoint import TARGETS_FOLDER
from deploytools.settings import current_project, environment_with, use_environment
from deploytools.testing.processes import running
from deploytools.testing.waiting import wait_until

IMAGES = Path(__file__).parents[3] / "docs" / "images"
COLUMNS, TOP_ROWS = 80, 8
INVOKE = (sys.executable, "-m", "invoke")
LOCUST_URL = "http://127.0.0.1:8089"
LOCUST = (sys.executable, "-m", "locust", "--autostart", "--load-profile", "flood", "--web-host", "127.0.0.1")
# How long a flood has gone on when its picture is taken.
FLOOD_SECONDS = 12.0
# Rich and Textual link fonts of another host.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def take_demo(state: Path) -> None:
    """Take what a demo prints, and the live screen while it runs."""
    env = environment_with(DEPLOYTOOLS_STATE=str(state), FORCE_COLOR="1", COLUMNS=str(COLUMNS))
    argv, quiet = [*INVOKE, "demo", "--seconds", "30"], subprocess.DEVNULL
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=quiet, text=True) as demo:
        take_top(state / "demo")
        printed = demo.communicate()[0]
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    waits, leaderboard, *_, verdict = printed.strip().split("\n\n")
    console.print(Text.from_ansi(f"$ uv run invoke demo --seconds 30\n\n{waits}\n\n{leaderboard}\n\n{verdict}"))
    (IMAGES / "demo.svg").write_text(FONTS.sub("", console.export_svg(title="invoke demo", unique_id="demo")))


def take_top(state: Path) -> None:
    """Take the live screen of the fleet of a state folder."""
    use_environment(DEPLOYTOOLS_STATE=str(state), CELERY_BROKER_URL=EmbeddedBroker(state=state).address.url)
    project = current_project()
    fleet, targets = project.fleet(), state / TARGETS_FOLDER
    app = load_app(project, fleet)
    wait_until(lambda: len(list(targets.glob("*.json"))) > len(fleet.tiers), "the workers of all tiers, and beat")
    with closing(Gatherer(app, fleet, targets)) as gatherer:
        screen = TopScreen(take=gatherer.take, pause=gatherer.pause, resume=gatherer.resume)
        (IMAGES / "top.svg").write_text(FONTS.sub("", asyncio.run(_take_screen(screen))))


async def _take_screen(screen: TopScreen) -> str:
    async with screen.run_test(size=(COLUMNS, TOP_ROWS)) as pilot:
        await pilot.pause(FLOOD_SECONDS)
        return screen.export_screenshot(title="invoke top")


def take_report(state: Path) -> None:
    """Take the report of a flood."""
    env = environment_with(DEPLOYTOOLS_STATE=str(state))
    subprocess.run([*INVOKE, "load.run", "flood", "--seconds", "30"], env=env, check=False)
    [page] = (state / "load").glob("*.html")
    _take_page(page.as_uri(), "report.png", size=(1200, 800))


def take_locust(state: Path) -> None:
    """Take Locust's page in the middle of a flood."""
    env = environment_with(DEPLOYTOOLS_STATE=str(state))
    with running([*INVOKE, "up"], log_path=state / "up.log", env=env) as fleet:
        fleet.wait_for_log(" ready.", times=len(current_project().fleet().tiers))
        with running(LOCUST, log_path=state / "locust.log", env=env) as locust:
            locust.wait_for_log("All users spawned")
            time.sleep(FLOOD_SECONDS)
            _take_page(LOCUST_URL, "locust.png", size=(1280, 900))


def _take_page(address: str, name: str, *, size: tuple[int, int]) -> None:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000")
    window = f"--window-size={size[0]},{size[1]}"
    browser = shutil.which("chromium") or "chromium"
    subprocess.run([browser, *options, window, f"--screenshot={IMAGES / name}", address], check=True)


# The demo comes last: what looks at its fleet sets the environment of this process.
PICTURES: dict[str, Callable[[Path], None]] = {"report": take_report, "locust": take_locust, "demo": take_demo}


def main() -> None:
    """Take the pictures that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.pictures", description="Take the pictures of the docs.")
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*PICTURES, []],
        metavar="NAME",
        help=f"of {', '.join(PICTURES)}; all if none is named",
    )
    names = parser.parse_args().names
    for name in (name for name in PICTURES if name in names or not names):
        with TemporaryDirectory(prefix="pictures-") as folder:
            PICTURES[name](Path(folder))


if __name__ == "__main__":
    main()
