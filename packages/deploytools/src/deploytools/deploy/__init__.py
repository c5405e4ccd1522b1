"""Deployments of the fleet: their secrets, and how one is replaced by the next without losing a task."""
