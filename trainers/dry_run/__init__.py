"""Dry runs: the time and memory of a training, counted in operations and bytes or measured in a few steps."""
