"""The taskset under the name by which verifiers finds it; the wheel installs this module at the top level."""

from act_gym.integrations.verifiers import GamesEnv, GamesTaskset, InProcess

__all__ = ["GamesEnv", "GamesTaskset", "InProcess"]
