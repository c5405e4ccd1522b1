"""Look for known mistakes in a Celery deployment: rules over what was gathered, each with a consequence and a fix."""
