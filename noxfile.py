"""The checks of this repository, each in an environment of its own.

Sessions build environments and run tools, nothing else. `nox` runs what must be green.
"""

import os
import signal
from pathlib import Path
from threading import Thread
from time import sleep

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typecheck", "unit", "integration", "stack", "chaos"]

PYTHONS = ["3.11", "3.12", "3.13"]


# Ctrl-C: what tests have started is stopped in this time.
INTERRUPT_SECONDS = 30


def end_with_uv(uv: int) -> None:
    """End when `uv run` has been killed, which passes on every other signal."""
    while os.getppid() == uv:
        sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if Path(f"/proc/{os.getppid()}/exe").resolve().name == "uv":
    Thread(target=end_with_uv, args=(os.getppid(),), daemon=True).start()


def install(session: nox.Session, *groups: str) -> None:
    """Install the workspace and some dependency groups, at the pinned versions."""
    session.run_install(
        "uv",
        "sync",
        "--quiet",
        "--no-default-groups",
        *(f"--group={group}" for group in groups),
        f"--python={session.virtualenv.location}",
        env={
            "UV_PROJECT_ENVIRONMENT": session.virtualenv.location,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_COMPILE_BYTECODE": "1",  # each test starts processes that import all of it
        },
    )


def run_tests(session: nox.Session, *argv: str) -> None:
    """Run a program that ends with nox, however nox ends; see `deploytools.supervised`."""
    session.run(*argv, env={"DEPLOYTOOLS_SUPERVISED": str(os.getpid())}, interrupt_timeout=INTERRUPT_SECONDS)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, complexity and the import contracts."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "typecheck", "test")
    session.run("mypy")


@nox.session(python=PYTHONS)
def unit(session: nox.Session) -> None:
    """Run the unit tests: no network, no subprocess."""
    install(session, "test")
    run_tests(session, "pytest", "packages", "-n", "auto", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Run the integration tests: real brokers, real worker processes."""
    install(session, "test")
    run_tests(session, "pytest", "tests/integration", "-n", "4", *session.posargs)


@nox.session
def stack(session: nox.Session) -> None:
    """Run what is shipped, one test at a time: the image, the compose file, a rolling deploy."""
    install(session, "test")
    run_tests(session, "pytest", "tests/stack", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill workers under load and count every task; `-- -s --kills 300 --seed 1` shows the account."""
    install(session, "test")
    run_tests(session, "pytest", "tests/chaos", *(session.posargs or ("-n", "4", "--kills", "10")))


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Break one thing at a time; fail where the integration tests do not notice."""
    install(session, "test")
    run_tests(session, "python", "tests/mutants.py", *session.posargs)


@nox.session(default=False, venv_backend="none")
def pins(session: nox.Session) -> None:
    """Write the newest versions that fit together into pyproject.toml, and try them."""
    pyproject = Path("pyproject.toml")
    _write_pins(pyproject, [])
    session.run("uv", "lock", "--upgrade", "--quiet", external=True)
    export = ["uv", "export", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-workspace", "--frozen"]
    pinned = session.run(*export, "--all-groups", "--all-packages", "--all-extras", external=True, silent=True)
    _write_pins(pyproject, str(pinned).splitlines())
    session.run("uv", "lock", "--quiet", external=True)


def _write_pins(pyproject: Path, pins: list[str]) -> None:
    head, start, rest = pyproject.read_text().partition("\nconstraint-dependencies = [")
    tail = rest.partition("]\n")[2]
    pyproject.write_text(f"{head}{start}\n" + "".join(f'  "{pin}",\n' for pin in pins) + f"]\n{tail}")
