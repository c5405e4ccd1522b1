"""Read command lines of Celery, with Celery's own parser, without running anything."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import click
from celery.bin.celery import celery

from deploytools.inspect.doctor.evidence import CommandLine

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
MODULES = frozenset({"celery", "deploytools.celery", "deploytools.flower"})
# A URL with a password before its host.
CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]+@")
# What Flower takes that lets somebody in.
SECRET_FLOWER_OPTIONS = ("basic_auth", "oauth2_secret", "cookie_secret")

# Variables that say something of the command line: Celery takes its options from the environment too.
VARIABLES = frozenset(
    {"FLOWER_BASIC_AUTH"}
    | {f"CELERY_{option.name}".upper() for option in celery.params}
    | {f"CELERY_WORKER_{option.name}".upper() for option in celery.commands["worker"].params}
)


def parse_command(text: str, where: str) -> CommandLine:
    """Parse a line as somebody types it, variables before it and launchers (`nice`, `uv run`) included."""
    try:
        words = shlex.split(text.replace("\\\n", " "))
    except ValueError as error:
        return CommandLine(where=where, program="", refused=f"{error}")
    return parse_argv(words, where)


def parse_argv(words: Sequence[str], where: str, **known: Any) -> CommandLine:
    """Parse the arguments of a process; `known` is what else is known of it."""
    shell = _inner_command(words)
    if shell is not None:
        # `sh -c "celery …"` becomes Celery by itself; only more than one command keeps the shell as its parent.
        keeps = bool(re.search(r"[;&|\n]", shell)) and not re.search(r"\bexec\s+\S*celery|\bexec\s+\S*python", shell)
        return parse_argv(_first_celery(shell), where, **known, shell=shell if keeps else None)
    variables = frozenset(word.partition("=")[0] for word in words if re.match(r"[A-Z][A-Z0-9_]*=", word))
    known["environment"] = (known.get("environment", frozenset()) | variables) & VARIABLES
    start = celery_starts(words)
    if start is None:
        return CommandLine(where=where, program="", refused="there is no `celery` in it", **known)
    return _parse(list(words[start:]), where, known)


def celery_starts(words: Sequence[str]) -> int | None:
    """Return where the arguments of `celery` begin; None where it is another program."""
    for number, word in enumerate(words):
        if PurePath(word).name == "celery" or (word in MODULES and number and words[number - 1] == "-m"):
            return number + 1
    return None


def _inner_command(words: Sequence[str]) -> str | None:
    if words and PurePath(words[0]).name in SHELLS and "-c" in words[:-1]:
        return words[words.index("-c") + 1]
    return None


def _first_celery(script: str) -> list[str]:
    for part in re.split(r"[;&|\n]+", script):
        words = part.split()
        if celery_starts(words) is not None:
            return words
    return []


def _parse(words: list[str], where: str, known: dict[str, Any]) -> CommandLine:
    secrets = [f"{word.partition('://')[0]}://…@" for word in words if CREDENTIALS.search(word)]
    top = click.Context(celery, info_name="celery")
    try:
        general, rest, _ = celery.make_parser(top).parse_args(words)
        program = rest[0] if rest else ""
        if program == "flower":
            options = dict(word.removeprefix("--").split("=", 1) for word in rest[1:] if re.match(r"--\w+=", word))
            secrets += [f"--{name}=…" for name in SECRET_FLOWER_OPTIONS if name in options]
        else:
            options = _options(program, rest[1:], top)
    except click.ClickException as error:
        return CommandLine(
            where=where,
            program=next((word for word in words if word in {"worker", "beat"}), ""),
            refused=error.format_message(),
            secrets=tuple(secrets),
            **known,
        )
    return CommandLine(where=where, program=program, options={**general, **options}, secrets=tuple(secrets), **known)


def _options(program: str, words: list[str], top: click.Context) -> dict[str, Any]:
    command = celery.commands.get(program)
    if command is None:
        raise click.UsageError(f"no such command {program!r}")
    context = click.Context(command, parent=top, info_name=program)
    given, _, _ = command.make_parser(context).parse_args(words)
    return {
        parameter.name: _converted(parameter, given[parameter.name], context)
        for parameter in command.params
        if parameter.name in given
    }


def _converted(parameter: click.Parameter, value: Any, context: click.Context) -> Any:
    try:
        return parameter.type_cast_value(context, value)
    except AttributeError:
        return value  # some of Celery's types want the application; what is written is enough for us
