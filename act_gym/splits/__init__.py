"""Splits: frozen lists of tasks, one module per benchmark."""
