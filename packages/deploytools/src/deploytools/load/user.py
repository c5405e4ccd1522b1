"""The Locust side: a user class a tier, series named by tier, and the verdict as exit code.

A locustfile holds two lines:

    from deploytools.load.user import tier_users
    globals().update(tier_users())

Each tier is one user, which keeps its profile's schedule whatever the answers do. Locust's page shows three series a
tier: `publish`, `wait` and `run`. Our own histograms keep what its two digits lose.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from deploytools.app import load_app
from deploytools.errors import WorkloadError
from deploytools.fleet import Tier
from deploytools.inspect.snapshot import take_snapshot
from deploytools.load.clocks import clock_offsets
from deploytools.load.context import run_context
from deploytools.load.offloading import OffloadingSession
from deploytools.load.profile import PROFILES
from deploytools.load.result import RunResult, sum_up
from deploytools.load.samples import Sample, as_rows, from_rows
from deploytools.settings import current_project

logger = logging.getLogger(__name__)

# In a distributed run Locust's master ends before its workers do: it tells them to finish, and they send their parts.
FINISH, PART = "deploytools_finish", "deploytools_part"
PARTS_DEADLINE_SECONDS = 60.0
# And it counts a worker as ready that still prepares its tasks, which takes seconds of a run on a busy machine.
PREPARED = "deploytools_prepared"
PREPARED_DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.1
LOOPBACK = "127.0.0.1"
# For the publish that is under way when a run ends: cut off, nobody knows whether the broker accepted it.
STOP_SECONDS = 1.0


class TierUser(User):
    """Offers one tier what the profile says. Subclasses name the tier."""

    abstract = True
    fixed_count = 1
    tier: Tier

    @task
    def offer(self) -> None:
        """Send until the run is over."""
        load_run(self.environment).session.offer(self.tier, seed=crc32(self.tier.name.encode()))
        raise StopUser


def tier_users() -> dict[str, type[TierUser]]:
    """Return a user class for each tier of the project's fleet, and set up this Locust process."""
    events.init_command_line_parser.add_listener(_add_options)
    events.init.add_listener(_prepare)
    events.test_start.add_listener(_start)
    events.test_stopping.add_listener(_stop_sending)
    events.test_stop.add_listener(_stop)
    fleet = current_project().fleet()
    return {
        f"{tier.name.title()}User": type(f"{tier.name.title()}User", (TierUser,), {"tier": tier, "host": "the broker"})
        for tier in fleet
    }


class LoadRun:
    """One run in one Locust process."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        options: Any = environment.parsed_options
        self.profile = PROFILES[options.load_profile].times(options.times)
        self.fleet = current_project().fleet()
        self.app = load_app(current_project(), self.fleet)
        self.parts: list[dict[str, Any]] = []
        # Those that send now: one that dies is one whose part is missed.
        self.generators = environment.runner.worker_count if isinstance(environment.runner, MasterRunner) else 1
        self.result: RunResult | None = None
        self._finished = False
        self.session = OffloadingSession(
            app=self.app,
            fleet=self.fleet,
            profile=self.profile,
            project=current_project(),
            seconds=options.run_time or self.profile.seconds,
            synthetic_seconds=options.synthetic,
            times=options.times,
            on_publish=self._published,
            on_report=self._reported,
        )

    def finish(self) -> None:
        """Drain, and hand over this process's part of the account, once."""
        if self._finished:
            return
        self._finished = True
        self.session.drain()
        account = self.session.account
        part = {
            "samples": as_rows(account.samples.values()),
            "round_trips": self.session.round_trips,
            "refused": account.refused,
            "duplicates": account.duplicates,
            "failure": self.session.failure,
        }
        if isinstance(self.environment.runner, WorkerRunner):
            self.environment.runner.send_message(PART, part)
        else:
            self.parts.append(part)

    def conclude(self) -> RunResult:
        """Sum up all parts."""
        snapshot = take_snapshot(self.app, self.fleet)
        workers = sum(len(tier.workers) for tier in snapshot.tiers)
        offsets = clock_offsets(self.app, workers) if workers else []
        return sum_up(
            [sample for part in self.parts for sample in from_rows(part["samples"])],
            fleet=self.fleet,
            profile=self.profile,
            processes={tier.name: tier.processes for tier in snapshot.tiers},
            round_trips=[round_trip for part in self.parts for round_trip in part["round_trips"]],
            refused=sum(part["refused"] for part in self.parts),
            missing_generators=max(0, self.generators - len(self.parts)),  # others may have joined later
            failures=[part["failure"] for part in self.parts if part["failure"]],
            duplicates=sum(part["duplicates"] for part in self.parts),
            context=run_context(
                broker=str(self.app.connection().as_uri()),
                clock_offsets={
                    offset.node: [round(offset.seconds, 6), round(offset.uncertainty_seconds, 6)] for offset in offsets
                },
                left_in_broker={tier.name: tier.queue.depth for tier in snapshot.tiers},
            ),
        )

    def _published(self, sample: Sample, error: BaseException | None) -> None:
        self._fire("publish", sample, sample.publish_seconds, error)

    def _reported(self, sample: Sample) -> None:
        failure = None if sample.state == "SUCCESS" else TaskFailedError(sample.state)
        self._fire("wait", sample, sample.wait_seconds or 0.0, None)
        self._fire("run", sample, sample.run_seconds or 0.0, failure)

    def _fire(self, series: str, sample: Sample, seconds: float, error: BaseException | None) -> None:
        self.environment.events.request.fire(
            request_type=series,
            name=sample.tier,
            response_time=seconds * 1000,
            response_length=0,
            exception=error,
            context={},
        )


class TaskFailedError(Exception):
    """A task ended in another state than success."""


# Locust's events know the environment only.
_runs: dict[int, LoadRun] = {}
_prepared: dict[int, LoadRun] = {}


def load_run(environment: Environment) -> LoadRun:
    """Return the run that goes on in a Locust environment."""
    return _runs[id(environment)]


def _add_options(parser: Any) -> None:
    group = parser.add_argument_group("a fleet under load")
    group.add_argument("--load-profile", choices=list(PROFILES), default="smoke", help="what to offer")
    group.add_argument(
        "--synthetic", type=float, default=0.0, metavar="SECONDS", help="tasks that take so long, not the application's"
    )
    group.add_argument("--times", type=_factor, default=1.0, metavar="FACTOR", help="multiply the profile's rates")
    group.add_argument("--result", default="", metavar="FILE", help="write the run's account here, as JSON")
    # The page can start runs, and the port of `--master` takes results; neither asks for a password.
    parser.set_defaults(web_host=LOOPBACK, master_bind_host=LOOPBACK)


def _factor(text: str) -> float:
    if not (factor := float(text)) > 0:
        raise ValueError(text)
    return factor


def _prepare(environment: Environment, runner: Any, **_: Any) -> None:
    options = environment.parsed_options
    environment.stop_timeout = environment.stop_timeout or STOP_SECONDS
    if options is not None:
        _warn_of_open_page(options)
        options.num_users = options.spawn_rate = len(environment.user_classes)
        if options.headless and not isinstance(runner, MasterRunner):
            _prepare_run(environment)
            gevent.get_hub().loop.update_now()  # else a run's time counts from before that
    if isinstance(runner, MasterRunner):
        runner.register_message(PART, lambda environment, msg: load_run(environment).parts.append(msg.data))
        if options is not None and options.headless:
            _wait_until_prepared(runner, options.expect_workers)
    elif isinstance(runner, WorkerRunner):
        runner.register_message(FINISH, lambda environment, **_: load_run(environment).finish(), concurrent=True)
        runner.send_message(PREPARED)


def _warn_of_open_page(options: Any) -> None:
    if not options.headless and not options.web_login and options.web_host not in {LOOPBACK, "::1", "localhost"}:
        logger.warning(
            "--web-host %s: everyone who reaches this address can start load runs: add --web-login", options.web_host
        )


def _prepare_run(environment: Environment) -> None:
    """Import and prepare what the run then finds ready. Locust only logs an error here, and would wait for ever."""
    _prepared[id(environment)] = run = LoadRun(environment)
    try:
        run.session.prepare()
    except WorkloadError as error:
        sys.exit(f"load run: {error}")


def _wait_until_prepared(runner: MasterRunner, workers: int) -> None:
    prepared: list[str] = []
    runner.register_message(PREPARED, lambda msg, **_: prepared.append(msg.node_id))
    give_up_at = time.monotonic() + PREPARED_DEADLINE_SECONDS
    while len(prepared) < workers and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)


def _start(environment: Environment, **_: Any) -> None:
    run = _runs[id(environment)] = (
        _prepared.pop(id(environment)) if id(environment) in _prepared else LoadRun(environment)
    )
    if not isinstance(environment.runner, MasterRunner):
        run.session.start()


def _stop_sending(environment: Environment, **_: Any) -> None:
    if id(environment) in _runs:
        load_run(environment).session.stop_sending()


def _stop(environment: Environment, **_: Any) -> None:
    if id(environment) not in _runs:
        return  # it ended before it began
    run = load_run(environment)
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message(FINISH)
        give_up_at = time.monotonic() + PARTS_DEADLINE_SECONDS + run.profile.drain_seconds
        # A missing one may come back, so it is waited for too.
        while len(run.parts) < run.generators and time.monotonic() < give_up_at:
            time.sleep(POLL_SECONDS)
    else:
        run.finish()
    if isinstance(environment.runner, WorkerRunner):
        return
    run.result = run.conclude()
    problems = run.result.problems()
    for problem in problems:
        logger.error("%s", problem)
    environment.process_exit_code = 1 if problems else 0
    path = environment.parsed_options.result if environment.parsed_options else ""
    if path:
        Path(path).write_text(json.dumps(run.result.as_json()))
