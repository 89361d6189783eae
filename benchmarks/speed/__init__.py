"""Speed benchmarks of the environments, with upstream's in the same run.

python -m pytest benchmarks/speed --benchmark-group-by=group
"""
