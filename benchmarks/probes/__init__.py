"""Probes: questions to a model and statistics of its answers."""
