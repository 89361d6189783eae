"""verifiers integration: environments as a taskset, for its evaluations and prime-rl.

verifiers finds plugins by the name of a top-level module: `act_gym_games`, which the wheel installs, imports this one.
The environment plays the user: each observation is a message, and each reply contains one command, until the episode
ends. The API is `verifiers.v1` of verifiers 0.4, after its own TextArena taskset.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import gymnasium as gym

from act_gym.benchmarks import tasks
from act_gym.errors import MissingDependencyError

try:
    import verifiers.v1 as vf
    from openai import AsyncOpenAI
    from pydantic import Field
    from verifiers.v1.dialects.chat import message_to_wire
except ImportError as cause:
    raise MissingDependencyError(f"A package that the taskset needs ({cause.name})", "verifiers") from cause

__all__ = ["GamesEnv", "GamesTaskset", "InProcess"]

_ASK = "What is your next action? Reply with <action>your action</action>."
_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
# Simulators share one Java process and are not thread-safe: all games use one thread in turn.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="games")


class GameData(vf.TaskData):  # type: ignore[misc]
    """Data of a task; its prompt is shown when the game starts."""

    env_id: str
    env_options: dict[str, Any] = Field(default_factory=dict)
    reward: str = "score"
    list_commands: int = 0


class GameTask(vf.Task[GameData]):  # type: ignore[misc]
    """Task with the same id in every run."""

    @property
    def key(self) -> str:
        """The task's id, e.g. `scienceworld/boil/3`."""
        return str(self.data.id)


class GamesConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Tasks to play and their reward."""

    env_id: str = "act/ALFWorld-generated-train"
    """For example `act/ScienceWorld-train`."""
    env_options: dict[str, Any] = Field(default_factory=dict)
    """Passed to `gym.make`, e.g. `{"max_episode_steps": 30}`."""
    reward: Literal["score", "success"] = "score"
    """Reward of an episode: its score (0–1) or its success (0 or 1)."""
    list_commands: int = Field(0, ge=0)
    """Largest number of admissible commands shown with each observation."""


class GamesTaskset(vf.Taskset[GameTask, GamesConfig]):  # type: ignore[misc]
    """The tasks of one environment id, in their frozen order."""

    def load(self) -> Iterator[GameTask]:
        """Yield every task of the split."""
        config = self.config
        for task in tasks(config.env_id):
            data = GameData(
                id=task.id,
                name=task.id,
                description=task.task_type,
                env_id=config.env_id,
                env_options=config.env_options,
                reward=config.reward,
                list_commands=config.list_commands,
            )
            yield GameTask(data, config.task)


class GamesEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """Configuration with one seat, the player. It needs no sandbox, because no generated code is run."""

    player: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class GamesEnv(vf.Env[GamesEnvConfig]):  # type: ignore[misc]
    """One game: each reply is an action, and each observation the next message."""

    async def run(self, task: GameTask, agents: Any) -> None:
        """Play one episode and record its reward."""
        data = task.data
        loop = asyncio.get_running_loop()

        async def apart(function: Any, *args: Any) -> Any:
            return await loop.run_in_executor(_THREAD, lambda: function(*args))

        def begin() -> tuple[Any, str, dict[str, Any]]:
            env = gym.make(data.env_id, **data.env_options)
            return env, *env.reset(options={"task_id": data.id})

        env, text, info = await apart(begin)
        invalid, turns, over = 0, 0, False
        try:
            async with agents.player.interaction(task) as interaction:
                shown = f"Task: {info['goal']}\n\nObservation:\n{text}"
                segment = await interaction.turn(_message(shown, info, data.list_commands))
                while not segment.terminated and not over:
                    text, _, terminated, truncated, info = await apart(env.step, read_action(segment.last_reply))
                    turns, over = turns + 1, terminated or truncated
                    invalid += not info["action_valid"]
                    if not over:
                        shown = f"Observation:\n{text}"
                        segment = await interaction.turn(_message(shown, info, data.list_commands))
        finally:
            await apart(env.close)
        trace = interaction.trace
        trace.record_reward(data.reward, float(info[data.reward]))
        counts = {"turns": turns, "invalid_actions": invalid, "success": info["success"], "final_score": info["score"]}
        trace.record_metrics({name: float(value) for name, value in counts.items()})


class InProcess(vf.Harness[vf.HarnessConfig]):  # type: ignore[misc]
    """Calls the model from this process, one completion per turn; the player's default.

    verifiers' own chat harness starts a program that `uv` installs first. A game needs no tools and no program.
    """

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: Any,
        trace: Any,
        runtime: Any,
        endpoint: str,
        secret: str,
        mcp_urls: Mapping[str, str],
        data: Any,
    ) -> Any:
        """Request one reply to the conversation so far; verifiers records it on the way."""
        del trace, runtime, mcp_urls
        system, prompt = self.resolve_prompt(data)
        wire = (
            [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [*map(message_to_wire, prompt or ())]
        )
        messages: Any = [*([{"role": "system", "content": system}] if system else []), *wire]
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0) as client:
            await client.chat.completions.create(model=ctx.model, messages=messages)
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


def read_action(reply: str) -> str:
    """Return the one action in a reply, outside its reasoning; empty if there is none or several."""
    if "</think>" in reply.partition("<think>")[0]:
        reply = "<think>" + reply  # some chat templates open the reasoning in the prompt
    found = _ACTION.findall(_THOUGHT.sub("", reply))
    action = " ".join(found[0].split()) if len(found) == 1 else ""
    return "" if "<action>" in action else action


def _message(shown: str, info: Mapping[str, Any], listed: int) -> str:
    commands = info["admissible_commands"][:listed] if listed else ()
    return "\n\n".join([shown, *(["Possible actions: " + "; ".join(commands)] if commands else []), _ASK])
