"""Declare a Celery fleet once; launch, inspect and measure it."""
