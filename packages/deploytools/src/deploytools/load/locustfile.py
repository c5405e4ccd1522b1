"""The locustfile of any fleet: `locust -f` this file, from the project's folder."""

import signal

from deploytools.load.user import tier_users
from deploytools.supervised import end_with_supervisor

end_with_supervisor(signal.SIGKILL)  # `load.run` alone reads this run's account
globals().update(tier_users())
