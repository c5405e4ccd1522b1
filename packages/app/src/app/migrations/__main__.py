"""Bring the database to the newest revision: `python -m app.migrations`."""

import sys

from app.services.database import upgrade
from app.services.errors import PermanentError

try:
    upgrade()
except PermanentError as error:
    sys.exit(str(error))
