"""Reproduction of the paper's tables, row by row, with the published numbers: `act-gym paper`."""
