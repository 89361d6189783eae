"""Compiles the rules of a game to Python functions over tables of facts."""
