"""The scheduler of periodic tasks: any number may run, one leads, each tick is sent once."""
