"""A person plays in the terminal."""
