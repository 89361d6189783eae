"""How a policy learns: one program a stage, exchanging files of records.

`collect` plays the expert, `pairs` puts an alternative beside every expert action, `warmup`, `act`,
`imitation` and `rl` train, and `pipeline` runs them one after the other.
"""
