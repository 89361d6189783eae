"""Speeds of the environments, beside upstream's in the same run.

python -m pytest benchmarks/speed --benchmark-group-by=group
"""
