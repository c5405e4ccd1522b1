"""Prepare pool processes before their first task: modules that a tier preloads, functions that warm a process up.

A tier names modules in the fleet file (`preload`): the worker imports them once, before it forks, and its processes
share their memory. A function registered with `warm_up` runs in each new process: it opens what cannot be shared, such
as connections and clients.
"""

import inspect
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar, overload

from celery.exceptions import WorkerShutdown, WorkerTerminate

from deploytools.errors import SettingError
from deploytools.fleet import Fleet, Tier
from deploytools.settings import current_environment, use_environment

logger = logging.getLogger(__name__)

# A client that connects to a service near by needs far less; a model that is read from disk may need this long.
TIME_LIMIT_SECONDS = 30.0
# Delays before failed processes are replaced: they double from the first to the longest.
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 60.0
MAX_TEXT = 500  # characters of an error's text in logs and in `inspect stats`
TIERS = "DEPLOYTOOLS_WARM_UP_TIERS"  # tells a spawned process which tiers its worker has

FunctionT = TypeVar("FunctionT", bound=Callable[[], object])


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """A function that runs in new pool processes.

    `tiers`: names of the tiers whose processes need it; empty for all.
    """

    function: Callable[[], object]
    tiers: frozenset[str] = frozenset()
    time_limit_seconds: float = TIME_LIMIT_SECONDS

    @property
    def name(self) -> str:
        """The module and name of the function, or of the class of what is called."""
        function: Any = self.function
        while isinstance(function, partial):
            function = function.func
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__module__}.{named.__qualname__}"

    def is_for(self, tiers: Collection[str]) -> bool:
        """Say whether a worker of these tiers runs it."""
        return not self.tiers or not self.tiers.isdisjoint(tiers)


_registered: list[WarmUp] = []
_selected: tuple[WarmUp, ...] | None = None


@overload
def warm_up(function: FunctionT, /) -> FunctionT: ...


@overload
def warm_up(
    *, tiers: Collection[str] = (), time_limit_seconds: float = TIME_LIMIT_SECONDS
) -> Callable[[FunctionT], FunctionT]: ...


def warm_up(
    function: Any = None, /, *, tiers: Collection[str] = (), time_limit_seconds: float = TIME_LIMIT_SECONDS
) -> Any:
    """Run a function in each new pool process, before the process is given its first task.

        @warm_up
        def open_connections() -> None: ...

        @warm_up(tiers=["high"], time_limit_seconds=60)
        def load_model() -> None: ...

    Functions run in the order of their registration. A process whose function raises, or exceeds its time limit, is
    replaced after a delay that grows. Raises SettingError for options that cannot be.
    """
    if function is None:
        return lambda function: warm_up_with(function, tiers, time_limit_seconds)
    return warm_up_with(function, tiers, time_limit_seconds)


def warm_up_with(function: FunctionT, tiers: Collection[str], time_limit_seconds: float) -> FunctionT:
    """Register a function; return it."""
    made = WarmUp(function=function, tiers=frozenset(tiers or ()), time_limit_seconds=time_limit_seconds)
    where = f"warm_up {made.name}"
    if isinstance(tiers, str) or tiers is None:
        raise SettingError(f"{where}: tiers = {tiers!r}: give a list of names")
    if not isinstance(time_limit_seconds, int | float) or not time_limit_seconds > 0:
        raise SettingError(f"{where}: time_limit_seconds = {time_limit_seconds!r}: give a number above 0")
    if any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None)))):  # noqa: B004 — of a class
        raise SettingError(f"{where}: it is a coroutine function: call it by asyncio.run in a plain one")
    if not _needs_no_arguments(function):
        raise SettingError(f"{where}: it needs arguments: give them with functools.partial")
    if _selected is not None:
        logger.warning("%s: it is registered after the worker has started, and runs in no process", where)
    _registered.append(made)
    return function


def _needs_no_arguments(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # a built-in one that does not tell
        return True
    return True


def warm_ups(tiers: Collection[str] | None = None) -> tuple[WarmUp, ...]:
    """Return the functions that processes of some tiers run; None: all that are registered."""
    return tuple(each for each in _registered if tiers is None or each.is_for(tiers))


def select(tiers: Collection[str]) -> None:
    """Choose what the processes of this worker run: the functions for its tiers."""
    global _selected  # noqa: PLW0603 — one worker a process, inherited by what it forks
    _selected = warm_ups(tiers)
    use_environment(**{TIERS: ",".join(tiers)})  # for processes that are spawned


def selected() -> tuple[WarmUp, ...]:
    """Return what was chosen, here or by the main process of the worker that spawned this process."""
    if _selected is not None:
        return _selected
    tiers = current_environment().get(TIERS)
    return warm_ups(None if tiers is None else tiers.split(","))


def error_of(each: WarmUp) -> str | None:
    """Run a function; return its error as one line, None where it raises none."""
    try:
        each.function()
    except (WorkerShutdown, WorkerTerminate):  # the worker is asked to stop
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever it is, the caller tells it
        return describe(error)
    return None


def describe(error: BaseException) -> str:
    """Return an error as one line of ordinary length."""
    try:
        text = " ".join(str(error)[:MAX_TEXT].split())
    except Exception:  # noqa: BLE001 — of an error whose text cannot be made
        text = "(no text)"
    return f"{type(error).__name__}: {text}"


def check_tiers(fleet: Fleet) -> None:
    """Raise SettingError where a function is registered for a tier that the fleet does not have."""
    names = [tier.name for tier in fleet]
    for each in _registered:
        if unknown := sorted(each.tiers.difference(names)):
            raise SettingError(
                f"warm_up {each.name}: tiers = {unknown}: no such tier: the fleet has {', '.join(names)}"
            )


def preload(tiers: Iterable[Tier]) -> None:
    """Import the modules that tiers name; raise SettingError where one cannot be imported."""
    for tier in tiers:
        for module in tier.preload:
            try:
                import_module(module)
            except (Exception, SystemExit) as error:
                raise SettingError(
                    f"fleet file: tiers.{tier.name}.preload: {module!r}: {describe(error)}: "
                    "correct the name, or install what it needs"
                ) from error


def retry_delay_seconds(tries: int) -> float:
    """Return how long to wait before failed processes are replaced, after so many failures in a row."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(tries - 1, 32), MAX_RETRY_SECONDS)


def is_worn(tasks_run: int, max_tasks: int | None) -> bool:
    """Say whether a process has run so many tasks of its maximum that its successor should be started.

    The last tenth, at least the last task, is the time that the successor has to become warm.
    """
    return max_tasks is not None and tasks_run >= max(1, max_tasks - max(1, max_tasks // 10))
