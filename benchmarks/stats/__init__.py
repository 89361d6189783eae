"""Numbers with intervals: of one evaluation, of two on the same tasks, and how many seeds a difference needs."""
