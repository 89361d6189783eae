"""Who chooses the action: random, the expert, a person, a language model.

An agent is anything that follows `act_gym.Agent`. `agents.registry` finds one by name; `agents.local.model`
is a language model that answers many prompts at once; `agents.prompts` holds every word it is told.
This package knows no trainer and no evaluation.
"""
