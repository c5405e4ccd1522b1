"""The rules, a topic a file."""

from deploytools.inspect.doctor.rule import Rule
from deploytools.inspect.doctor.rules import beat, connections, delivery, flags, queues, redis_server, security, workers

TOPICS = (flags, delivery, connections, queues, beat, security, redis_server, workers)
RULES: tuple[Rule, ...] = tuple(value for topic in TOPICS for value in vars(topic).values() if isinstance(value, Rule))
