"""Load profiles and benchmarks of the fleet. They know tasks by name only."""
