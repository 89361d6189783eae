"""How a policy learns: one program a stage, exchanging files of records.

`collect` plays the expert, `pairs` puts an alternative beside every expert action, `warmup`, `act`,
`imitation` and `rl` train, and `pipeline` runs them one after the other. What they are made of stands in
packages: `examples` turns records into questions and replies into rewards, `supervised` and `grpo` are the
two ways to learn from them, `estimates` counts what that takes, `runs` keeps it.
"""
