"""`uv run locust` from the repository's root: the fleet's load profiles on Locust's page."""

from deploytools.load.user import tier_users

globals().update(tier_users())
