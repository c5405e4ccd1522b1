"""Test a fleet with real brokers and real worker processes."""
