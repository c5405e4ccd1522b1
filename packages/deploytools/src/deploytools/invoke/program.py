"""The console program `deploytools`: the same commands as `invoke`, in an image or in anybody's project."""

import sys
from importlib.metadata import version

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.program import Program

from deploytools.invoke import namespace, namespace_without_fleet


def main() -> None:
    """Run the program."""
    Program(name="deploytools", version=version("deploytools"), namespace=_namespace_or_exit()).run()


def _namespace_or_exit() -> Collection:
    try:
        return namespace()
    except Exit as error:
        if "doctor" in sys.argv[1:]:
            return namespace_without_fleet()
        print(error.message, file=sys.stderr)
        sys.exit(error.code)
