"""The locustfile of any fleet: `locust -f` this file, from the project's folder."""

import signal

from deploytools.lifeline import end_with_parent
from deploytools.load.user import tier_users
from deploytools.settings import current_environment

if "DEPLOYTOOLS_SUPERVISED" in current_environment():
    end_with_parent(signal.SIGKILL)  # nobody waits for this run's account any more
globals().update(tier_users())
