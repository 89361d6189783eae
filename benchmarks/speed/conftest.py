"""Fixtures of the speed benchmarks."""

from benchmarks.speed.output import say

__all__ = ["say"]
