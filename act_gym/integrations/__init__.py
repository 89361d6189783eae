"""Our environments in the shapes that other people's trainers expect; each needs its own extra, and no model.

`tool_environment` is a class whose method is a tool (TRL's `environment_factory`), `served` a server with a
client (OpenEnv), `taskset` tasks with a tool server (verifiers).
"""
