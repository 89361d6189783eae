"""Integrations with other training frameworks; each needs its own extra.

`trl` is a class whose method is a tool (TRL's `environment_factory`), `openenv` a server with a client, `verifiers` a
taskset.
"""
