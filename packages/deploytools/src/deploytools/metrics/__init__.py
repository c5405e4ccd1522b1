"""Prometheus metrics: what workers do, what waits in the broker, and where they are read."""
