"""Turns the rules of a game into Python functions over tables of facts."""
