"""The frozen lists of tasks, one module a benchmark."""
