"""Agents: random, expert, human, and local or remote language models.

An agent follows the protocol `act_gym.Agent`. `agents.registry` finds one by name; `agents.local.model` is a batched
language model; `agents.prompts` has the prompt texts. This package imports no trainer and no evaluation.
"""
