"""The locustfile of any fleet: `locust -f` this file, from the project's folder."""

from deploytools.load.user import tier_users

globals().update(tier_users())
