"""A live screen of a fleet: what each tier does this second."""
