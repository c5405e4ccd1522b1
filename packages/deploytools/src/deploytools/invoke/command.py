"""The one place where an error becomes a line on stderr and an exit code."""

from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from deploytools.errors import DeploytoolsError, SettingError
from deploytools.fleet import Fleet


class CheckedArgument(Argument):
    """An option whose value is a number; Invoke's own answers a word with a traceback."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take a value from the command line."""
        try:
            super().set_value(value, cast)
        except ValueError:
            raise Exit(f"--{self.name} {value}: not a number: give one", SettingError.exit_code) from None


class Command(Task):  # type: ignore[type-arg]
    """An Invoke task whose errors of ours end the program with one line and their exit code."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: D102 — Invoke's
        arguments = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            argument.__class__ = CheckedArgument  # Invoke makes them itself, and asks nobody of which class
        return arguments

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 — Invoke's
        with_exit = exit_on_error(super().__call__)
        return with_exit(*args, **kwargs)


def check_tier(fleet: Fleet, name: str) -> None:
    """Raise SettingError if an option names a tier that the fleet does not have; '' stands for all."""
    names = [tier.name for tier in fleet]
    if name and name not in names:
        raise SettingError(f"--tier {name}: no such tier: use one of {', '.join(names)}")


def exit_on_error(body: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that a DeploytoolsError leaves it as Invoke's Exit."""

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except DeploytoolsError as error:
            raise Exit(str(error), error.exit_code) from None

    return run


def command(**options: Any) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command: `@command(help={…})` above a function that takes Invoke's context first."""
    made: Callable[[Callable[..., Any]], Command] = invoke_task(klass=Command, **options)
    return made
