"""Statistics: intervals, paired comparisons, significance tests, and power."""
