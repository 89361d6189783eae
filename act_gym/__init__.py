"""Text environments for language agents as Gymnasium environments, with in- and out-of-distribution splits.

Importing this package registers every environment with Gymnasium:

    import gymnasium as gym
    import act_gym

    env = gym.make("act/ScienceWorld-seen")
    observation, info = env.reset(seed=0)

The base package needs gymnasium and numpy; simulators, models and trainers are extras.
"""

from act_gym.agent import Agent, AgentAction, AgentInput, function_agent
from act_gym.benchmarks import Benchmark, env_ids, load_plugins, register_benchmark, register_envs, tasks
from act_gym.engine import Engine
from act_gym.env import TextEnv
from act_gym.errors import (
    ActGymError,
    AgentError,
    AgentUnavailableError,
    CorruptDataError,
    DataError,
    DeadEndError,
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
from act_gym.io.load import LoadedRun, load_run
from act_gym.rollout import play
from act_gym.types import ActionPair, Episode, ExpertStep, StepResult, Task, Transition, Turn
from act_gym.version import __version__

__all__ = [
    "ActGymError",
    "ActionPair",
    "Agent",
    "AgentAction",
    "AgentError",
    "AgentInput",
    "AgentUnavailableError",
    "Benchmark",
    "CorruptDataError",
    "DataError",
    "DeadEndError",
    "DownloadError",
    "Engine",
    "EngineError",
    "Episode",
    "ExpertStep",
    "FailedEpisodesError",
    "LoadedRun",
    "MissingDataError",
    "MissingDependencyError",
    "RunError",
    "StepResult",
    "Task",
    "TextEnv",
    "Transition",
    "Turn",
    "UnknownNameError",
    "UnsupportedGameError",
    "UsageError",
    "__version__",
    "env_ids",
    "function_agent",
    "load_plugins",
    "load_run",
    "play",
    "register_benchmark",
    "register_envs",
    "tasks",
]

register_envs()
load_plugins()
