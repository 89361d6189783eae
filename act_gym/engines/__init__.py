"""Simulators of the benchmarks, imported when an environment is made."""
