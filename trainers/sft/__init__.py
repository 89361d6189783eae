"""Supervised training on answers: which tokens count, several samples in one row, what ends a turn."""
