"""Files from the fleet: each module has `render(plan)`, a pure function to the files of one kind."""
