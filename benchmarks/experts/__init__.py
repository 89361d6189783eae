"""Expert benchmarks: success from any state, length of solutions, and time."""
