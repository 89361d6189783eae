"""Reinforcement learning on environment rollouts: collection, advantages, loss and training loop."""
