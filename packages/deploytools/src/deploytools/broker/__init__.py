"""The broker: its address, the embedded one, and what its queues hold."""
