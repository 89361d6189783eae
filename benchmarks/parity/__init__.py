"""Parity tests: a fast engine and the reference play the same commands, and every output is compared.

`comparison` plays one task on two engines, `commands` makes up what to say to them, `sweep` does it for
many tasks and remembers which are done, and there is one module for each benchmark that has two engines.
"""
