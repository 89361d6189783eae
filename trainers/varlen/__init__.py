"""Variable-length attention: sequences share a row, and each attends to itself alone."""
