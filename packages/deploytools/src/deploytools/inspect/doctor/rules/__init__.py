"""The rules, a topic a file."""

from deploytools.inspect.doctor.rule import Rule
from deploytools.inspect.doctor.rules import (
    backlog,
    beat,
    broker,
    delivery,
    flags,
    fleet_file,
    processes,
    queues,
    results,
    security,
    workers,
)

TOPICS = (flags, processes, delivery, queues, beat, broker, security, results, workers, backlog, fleet_file)

RULES: tuple[Rule, ...] = tuple(value for topic in TOPICS for value in vars(topic).values() if isinstance(value, Rule))
