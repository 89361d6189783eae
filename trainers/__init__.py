"""Training stages: one program per stage; stages exchange files of records.

`collect` plays the expert, `pairs` adds an alternative to every expert action, `warmup`, `act`,
`imitation` and `rl` train, and `pipeline` runs them one after the other. Packages hold their
parts: `examples` turns records into questions and replies into rewards, `supervised` and `grpo` are the
two ways to learn from them, `estimates` counts the cost, `runs` keeps the run.
"""
