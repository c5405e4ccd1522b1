"""The fleet: which tier runs which tasks, how soon they must start, and with what resources.

Pure values, loaded from TOML once and frozen. Queues, routes, command lines, manifests, alerts and load gates are
computed from them; nothing repeats them. Imports neither Celery nor anything slow: `invoke --list` reads this.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from deploytools.errors import FleetFileError

PositiveInt = Annotated[int, Meta(ge=1)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*$")]

# Tier names that would collide with the commands `worker.dev` and `worker.all`.
RESERVED_TIER_NAMES = frozenset({"all", "dev"})

SECTIONS = ("fleet", "tiers", "deploy")

# Kombu's own default, and the shortest visibility timeout we derive: shorter ones only bring duplicates.
MIN_VISIBILITY_TIMEOUT_SECONDS = 3600

# What a worker needs after its last task: acknowledge, restore what it prefetched, close (measured: 1.2 s), doubled
# a few times for a loaded host.
SHUTDOWN_MARGIN_SECONDS = 10


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value that refuses keys it does not know."""


ValueT = TypeVar("ValueT", bound=Value)


class Autoscale(Value, frozen=True, kw_only=True):
    """Bounds of a worker's pool, in processes; none is stopped before all were not wanted for `idle_seconds`."""

    min: PositiveInt
    max: PositiveInt
    idle_seconds: PositiveFloat = 30


class Resources(Value, frozen=True, kw_only=True):
    """What one worker container may use: CPUs, and memory as a number with `M` or `G` (binary multiples)."""

    cpus: PositiveFloat
    memory: Annotated[str, Meta(pattern=r"^[1-9][0-9]*[MG]$")]


class Patches(Value, frozen=True, kw_only=True):
    """What is merged into rendered files last: tables key by key, anything else in place of what was there.

    A tier's are merged into its compose service, its Kubernetes Deployment and the sections of its unit; the fleet's
    into the compose file, into Kubernetes objects (by `Kind/name`) and into all units.
    """

    compose: dict[str, Any] = {}
    kubernetes: dict[str, Any] = {}
    systemd: dict[str, dict[str, str]] = {}


class Deploy(Value, frozen=True, kw_only=True):
    """What a deployment gets beside what follows from its tiers. The fleet's holds for all; a tier's own goes over it.

    `volumes` are `name:/path`, or `name:/path:ro`; `broker_rules`, the fleet's only, is what the application's own use
    of the broker needs in its access control list.
    """

    environment: dict[Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")], str] = {}
    volumes: tuple[Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?:/[^:]*(:ro)?$")], ...] = ()
    labels: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$")], str] = {}
    patches: Patches = Patches()
    broker_rules: tuple[Annotated[str, Meta(pattern=r"^[-+~%&]\S+$")], ...] = ()

    def __hash__(self) -> int:  # a fleet can be a key of a cache, and tables cannot
        return hash(repr(self))

    def with_tier(self, tier: "Tier") -> "Deploy":
        """Return what holds for a tier: the fleet's, with the tier's own over it. Patches stay the tier's."""
        own = tier.deploy
        return Deploy(
            environment={**self.environment, **own.environment},
            volumes=(*self.volumes, *own.volumes),
            labels={**self.labels, **own.labels},
            patches=own.patches,
        )


class Queue(Value, frozen=True, kw_only=True):
    """A queue with its own exchange and routing key, so that nothing published to one can reach another."""

    name: str

    @property
    def exchange(self) -> str:
        """The exchange of this queue alone."""
        return self.name

    @property
    def routing_key(self) -> str:
        """The routing key of this queue alone."""
        return self.name


class Tier(Value, frozen=True, kw_only=True):
    """One class of service: a queue, the tasks that belong on it, a promise, and the workers that keep it.

    `start_within_seconds` is the promise: 99 % of tasks start this soon after publish. `concurrency` is the number of
    processes of a worker at start and under ordinary demand; `autoscale` bounds it. `replicas` counts workers.
    `nice` is how far the tier steps back when tiers share a host's CPUs (0 not at all, 19 furthest; see nice(1)).
    `preload` names modules that a worker imports once, before it forks its processes.
    """

    queue: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    tasks: tuple[Annotated[str, Meta(min_length=1)], ...]
    start_within_seconds: PositiveFloat
    concurrency: PositiveInt
    autoscale: Autoscale
    time_limit_seconds: PositiveInt
    name: str = ""
    max_tasks_per_child: PositiveInt = 1000
    prefetch_multiplier: PositiveInt = 1
    replicas: PositiveInt = 1
    nice: Annotated[int, Meta(ge=0, le=19)] = 0
    resources: Resources | None = None
    preload: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")], ...] = ()
    deploy: Deploy = Deploy()

    @property
    def soft_time_limit_seconds(self) -> int:
        """When a task is asked to stop, before the hard limit kills its process: the last tenth is for cleaning up."""
        return max(1, self.time_limit_seconds * 9 // 10)

    @property
    def grace_seconds(self) -> int:
        """How long a stopping worker may need: its longest task, then acknowledging and closing."""
        return self.time_limit_seconds + SHUTDOWN_MARGIN_SECONDS

    def runs(self, task_name: str) -> bool:
        """Say whether one of this tier's patterns names the task."""
        return any(fnmatchcase(task_name, pattern) for pattern in self.tasks)


class Fleet(Value, frozen=True, kw_only=True):
    """All tiers of one Celery application. `app` is `module:attribute`; unrouted tasks go to `default_tier`.

    `transport` is how Redis is used: `hardened` (`deploytools.transport`) or kombu's `stock`. Hardened, a dead worker's
    messages come back after `lease_seconds`, and one that was given back `delivery_limit` times is a dead letter.
    `missed_ticks`: of what beat could not send in time, it sends one tick for the whole gap, or all, or skips them.
    """

    app: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")]
    default_tier: Name
    tiers: tuple[Tier, ...]
    transport: Literal["hardened", "stock"] = "hardened"
    lease_seconds: PositiveFloat = 30
    delivery_limit: PositiveInt = 5
    missed_ticks: Literal["once", "all", "skip"] = "once"
    workload: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    deploy: Deploy = Deploy()

    def __iter__(self) -> Iterator[Tier]:
        return iter(self.tiers)

    @property
    def visibility_timeout_seconds(self) -> int:
        """When a broker may hand a taken task to somebody else: never while its first run can still be going on.

        A prefetched task may wait for one full run before its own, hence twice the longest limit.
        """
        longest_seconds = max(tier.time_limit_seconds for tier in self)
        return max(MIN_VISIBILITY_TIMEOUT_SECONDS, 2 * longest_seconds + SHUTDOWN_MARGIN_SECONDS)

    def tier(self, name: str) -> Tier:
        """Return the tier of that name."""
        for tier in self:
            if tier.name == name:
                return tier
        raise FleetFileError(f"no tier is called {name!r}: the fleet has {', '.join(tier.name for tier in self)}")

    def tier_of_task(self, task_name: str) -> Tier:
        """Return the tier a task is routed to: the first whose pattern names it, else the default tier."""
        return next((tier for tier in self if tier.runs(task_name)), self.tier(self.default_tier))

    def tier_of_queue(self, queue: str) -> Tier | None:
        """Return the tier that a queue belongs to."""
        return next((tier for tier in self if tier.queue == queue), None)

    def queues(self) -> tuple[Queue, ...]:
        """Return one queue a tier, in the order of the file."""
        return tuple(Queue(name=tier.queue) for tier in self)

    def routes(self) -> dict[str, dict[str, str]]:
        """Return Celery's `task_routes`: task pattern → queue."""
        return {pattern: {"queue": tier.queue} for tier in self for pattern in tier.tasks}


# Keys whose value is a table with keys of its own.
INNER: dict[str, type[Value]] = {"autoscale": Autoscale, "resources": Resources, "deploy": Deploy, "patches": Patches}


def load_fleet(path: Path) -> Fleet:
    """Read and check a fleet file; raise FleetFileError with a line for each thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FleetFileError(f"{path}: no such fleet file: write one, or point DEPLOYTOOLS_FLEET at it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FleetFileError(f"{path}: cannot be read ({error}): check the path and its permissions") from None
    try:
        return parse_fleet(text)
    except FleetFileError as error:
        raise FleetFileError("\n".join(f"{path.name}: {line}" for line in str(error).splitlines())) from None


def parse_fleet(text: str) -> Fleet:
    """Turn the text of a fleet file into a Fleet; errors name the key, the value and the fix."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FleetFileError(f"not valid TOML: {error}: correct that line") from None
    head = _table(data, "fleet")
    tiers = _table(data, "tiers")
    unknown = sorted(set(data) - set(SECTIONS))
    if unknown:
        raise FleetFileError(_unknown_key("", unknown[0], SECTIONS))
    if "deploy" in head:
        raise FleetFileError("fleet.deploy: unknown key: it is a section of its own, [deploy]")
    fleet = _convert(
        {
            **head,
            "tiers": [_tier_data(name, table) for name, table in tiers.items()],
            "deploy": _convert(data.get("deploy", {}), Deploy, "deploy"),
        },
        Fleet,
        "fleet",
    )
    problems = list(_problems(fleet))
    if problems:
        raise FleetFileError("\n".join(problems))
    return fleet


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = data.get(key)
    if not isinstance(table, dict) or not table:
        raise FleetFileError(
            f"[{key}] is missing or empty: every fleet file has [fleet] and at least one [tiers.<name>]"
        )
    return table


def _tier_data(name: str, table: Any) -> Tier:
    where = f"tiers.{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or name in RESERVED_TIER_NAMES:
        raise FleetFileError(
            f"{where}: {name!r} cannot name a tier: use lower-case letters, digits, - and _, but not 'all' or 'dev'"
        )
    if not isinstance(table, dict):
        raise FleetFileError(f"{where}: expected a table, got {table!r}: write [tiers.{name}] with its keys below")
    if "name" in table:
        raise FleetFileError(_unknown_key(where, "name", Tier.__struct_fields__))
    return _convert({**table, "name": name}, Tier, where)


def _convert(data: Mapping[str, Any], kind: type[ValueT], where: str) -> ValueT:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise FleetFileError(_explain(error, data, kind, where)) from None


def _explain(error: msgspec.ValidationError, data: Mapping[str, Any], kind: type[Value], where: str) -> str:
    """Put msgspec's words ("Expected `int` >= 1 - at `$.concurrency`") into ours: key = value: problem: fix."""
    problem, _, path = str(error).partition(" - at ")
    keys = re.findall(r"\w+", path)
    if unknown := re.search(r"unknown field `(.+)`", problem):
        inner = [INNER[key] for key in keys if key in INNER]
        return _unknown_key(".".join([where, *keys]), unknown[1], (inner or [kind])[-1].__struct_fields__)
    if missing := re.search(r"missing required field `(.+)`", problem):
        return f"{'.'.join([where, *keys])}: {missing[1]} is missing: add it"
    value: Any = data
    for key in keys:
        value = value[int(key)] if isinstance(value, (list, tuple)) else value[key]
    return f"{'.'.join([where, *keys])} = {value!r}: {problem[0].lower()}{problem[1:]}: correct the value"


def _unknown_key(where: str, key: str, known: Iterable[str]) -> str:
    choices = sorted(set(known) - {"name"})
    guess = get_close_matches(key, choices, n=1)
    hint = f"did you mean {guess[0]!r}?" if guess else f"the keys here are {', '.join(choices)}"
    return f"{where + '.' if where else ''}{key}: unknown key: {hint}"


def _problems(fleet: Fleet) -> Iterator[str]:
    """Yield what no single value can show: contradictions between keys and between tiers."""
    names = [tier.name for tier in fleet]
    if fleet.default_tier not in names:
        yield f"fleet.default_tier = {fleet.default_tier!r}: no such tier: choose one of {', '.join(names)}"
    for tier in fleet:
        yield from _pool_problems(tier)
    for one, other in combinations(fleet, 2):
        if one.queue == other.queue:
            yield (
                f"tiers.{other.name}.queue = {other.queue!r}: tier {one.name} has this queue already: "
                "give each tier its own"
            )
        for mine, theirs in ((mine, theirs) for mine in one.tasks for theirs in other.tasks):
            if fnmatchcase(mine, theirs) or fnmatchcase(theirs, mine):
                yield (
                    f"tiers.{other.name}.tasks: {theirs!r} overlaps {mine!r} of tier {one.name}: "
                    "a task belongs to one tier, make the patterns disjoint"
                )


def _pool_problems(tier: Tier) -> Iterator[str]:
    where, scale = f"tiers.{tier.name}", tier.autoscale
    if scale.min > scale.max:
        yield f"{where}.autoscale: min = {scale.min} is above max = {scale.max}: lower min or raise max"
    elif not scale.min <= tier.concurrency <= scale.max:
        yield f"{where}.concurrency = {tier.concurrency}: outside autoscale {scale.min}-{scale.max}: move it between"
