"""Plugin module for verifiers, which finds tasksets by top-level name; the wheel installs it at the top level."""

from act_gym.integrations.verifiers_taskset import GamesEnv, GamesTaskset, InProcess

__all__ = ["GamesEnv", "GamesTaskset", "InProcess"]
