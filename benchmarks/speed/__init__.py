"""Speed benchmarks, with upstream's implementation in the same run.

pytest benchmarks/speed/bench_alfworld.py --benchmark-group-by=group --benchmark-timer=time.process_time

pytest-benchmark shows the ratios inside a group, saves a run (`--benchmark-save=NAME`), and fails where a later one is
slower (`--benchmark-compare=NUMBER --benchmark-compare-fail=median:30%`). See docs/benchmarks.md.
"""
