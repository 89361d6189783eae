"""Text-action environments for language agents, with in- and out-of-distribution splits.

Importing this package registers every environment with Gymnasium:

    import gymnasium as gym
    import act_gym

    env = gym.make("act/ScienceWorld-seen")
    observation, info = env.reset(seed=0)

It needs gymnasium and numpy; simulators, models and trainers are extras.
"""

from act_gym.agent import Agent, Choice, View, each
from act_gym.benchmarks import env_ids, register_envs, tasks
from act_gym.engine import Engine
from act_gym.env import TextEnv
from act_gym.errors import (
    ActGymError,
    AgentError,
    AgentUnavailableError,
    CorruptDataError,
    DataError,
    DownloadError,
    EngineError,
    FailedEpisodesError,
    MissingDataError,
    MissingDependencyError,
    RunError,
    UnknownNameError,
    UnsupportedGameError,
    UsageError,
)
from act_gym.rollout import play
from act_gym.types import ActionPair, Episode, Experience, ExpertStep, State, Task, Turn
from act_gym.version import __version__

__all__ = [
    "ActGymError",
    "ActionPair",
    "Agent",
    "AgentError",
    "AgentUnavailableError",
    "Choice",
    "CorruptDataError",
    "DataError",
    "DownloadError",
    "Engine",
    "EngineError",
    "Episode",
    "Experience",
    "ExpertStep",
    "FailedEpisodesError",
    "MissingDataError",
    "MissingDependencyError",
    "RunError",
    "State",
    "Task",
    "TextEnv",
    "Turn",
    "UnknownNameError",
    "UnsupportedGameError",
    "UsageError",
    "View",
    "__version__",
    "each",
    "env_ids",
    "play",
    "register_envs",
    "tasks",
]

register_envs()
