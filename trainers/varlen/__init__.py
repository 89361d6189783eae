"""Sequences that share rows: what that costs, and how each attends to itself alone."""
