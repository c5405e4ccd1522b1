"""Look at a running fleet."""
