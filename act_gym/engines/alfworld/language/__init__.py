"""What ALFWorld's game files are written in: PDDL and a grammar of texts, read into typed trees."""
