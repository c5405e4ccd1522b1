"""The one place where an error becomes a line on stderr and an exit code."""

from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from deploytools.errors import FleetToolsError


class Command(Task):  # type: ignore[type-arg]
    """An Invoke task whose errors of ours end the program with one line and their exit code."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 — Invoke's
        with_exit = exit_on_error(super().__call__)
        return with_exit(*args, **kwargs)


def exit_on_error(body: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that a FleetToolsError leaves it as Invoke's Exit."""

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except FleetToolsError as error:
            raise Exit(str(error), error.exit_code) from None

    return run


def command(**options: Any) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command: `@command(help={…})` above a function that takes Invoke's context first."""
    made: Callable[[Callable[..., Any]], Command] = invoke_task(klass=Command, **options)
    return made
