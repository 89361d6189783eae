"""Evaluator benchmark: the whole command with a cheap agent, and a local model compared with bare `generate`.

    pytest benchmarks/speed/bench_evaluate.py --benchmark-group-by=group --benchmark-json=speed.json \\
        --benchmark-timer=benchmarks.speed.clock.processor_time

The command's time is that of all its processes. The model's shape is that of a run: eight episodes at once, their
real prompts turn by turn, greedy replies of at most 16 tokens that end at `</action>`. Bare `generate` gets the same
prompts in batches of eight, tokenised and padded already, and writes 16 tokens for each: it looks for no end, has no
environments, and keeps nothing from turn to turn. `extra_info` in the JSON has the tokens a second, read and written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from act_gym.agent import AgentInput
from act_gym.benchmarks import tasks
from act_gym.rollout import BatchStream, Job, play_jobs
from act_gym.types import Episode

pytestmark = pytest.mark.timeout(3600)

ROOT = Path(__file__).parents[2]
SIZE, TURNS, REPLY = 8, 3, 16
OPTIONS = {"max_episode_steps": TURNS, "admissible_commands": False}


def bench_random_agent_on_all_games_of_alfworld(benchmark: Any, tmp_path: Path) -> None:
    benchmark.group = "act-gym eval, random agent, 274 games of ALFWorld"
    script = "import sys; from act_gym.cli import main; sys.exit(main())"
    words = ["eval", "--agent", "random", "--env", "act/ALFWorld-seen", "act/ALFWorld-unseen", "--out"]
    folders = iter(tmp_path / str(number) for number in range(10))

    def command() -> None:
        subprocess.run([sys.executable, "-c", script, *words, str(next(folders))], cwd=ROOT, check=True, stdout=-3)

    benchmark.pedantic(command, rounds=3)


@pytest.fixture(scope="module")
def agent() -> Any:
    torch = pytest.importorskip("torch")
    from agents.local.agent import LocalAgent, LocalSettings

    torch.set_num_threads(1)
    made = LocalAgent(LocalSettings(max_new_tokens=REPLY))
    made.stream(1).close()  # the first one tries out once whether the model takes masks of four dimensions
    return made


@pytest.fixture(scope="module")
def played() -> list[Episode]:
    """The episodes that the evaluator played, once it has."""
    return []


def play(agent: Any) -> list[Episode]:
    jobs = [Job("act/ALFWorld-generated-seen", task) for task in tasks("act/ALFWorld-generated-seen")[:SIZE]]
    return list(play_jobs(jobs, agent, num_envs=SIZE, env_options=OPTIONS, keep_commands=False))


def view_of(episode: Episode, turn: int) -> AgentInput:
    history = episode.turns[:turn]
    return AgentInput(
        task=episode.task, goal=episode.goal, observation=episode.turns[turn].observation, history=history, seed=0
    )


def measure(benchmark: Any, run: Callable[[], int]) -> None:
    benchmark.group = f"SmolLM2-135M, {SIZE} episodes of {TURNS} turns"
    tokens = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["tokens_per_second"] = tokens / benchmark.stats.stats.median


@pytest.mark.parametrize("way", ["stream", "stream, nothing kept", "lockstep"])
def bench_evaluator(benchmark: Any, agent: Any, played: list[Episode], way: str) -> None:
    player = {"lockstep": Lockstep, "stream, nothing kept": Forgetful}.get(way, lambda one: one)(agent)

    def run() -> int:
        played[:] = play(player)
        return tokens_of(played)

    measure(benchmark, run)


def bench_bare_generate(benchmark: Any, agent: Any, played: list[Episode]) -> None:
    import torch

    from agents.local.sampling import left_padded

    episodes = played or play(agent)
    model, tokenizer = agent.policy.model, agent.policy.tokenizer
    padded = []
    for turn in range(TURNS):
        views = [view_of(episode, turn) for episode in episodes if turn < len(episode.turns)]
        rows = [agent.policy.prompt_ids(agent._prompt(view)) for view in views]
        padded.append(left_padded(rows, tokenizer.pad_token_id, model.device))

    def run() -> int:
        count = 0
        for tokens, mask in padded:
            out = model.generate(
                tokens,
                attention_mask=mask,
                max_new_tokens=REPLY,
                min_new_tokens=REPLY,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
            count += int(mask.sum()) + out[:, tokens.shape[1] :].numel()
        return count

    with torch.inference_mode():
        measure(benchmark, run)


def tokens_of(episodes: list[Episode]) -> int:
    return sum(turn.prompt_tokens + turn.completion_tokens for episode in episodes for turn in episode.turns)


class Lockstep:
    """The agent without its stream: all views in one call, every time."""

    def __init__(self, agent: Any) -> None:
        self.name, self.act = agent.name, agent.act


class Forgetful:
    """The agent with a stream that reads every prompt from its beginning."""

    def __init__(self, agent: Any) -> None:
        self.name, self.act, self._agent = agent.name, agent.act, agent

    def stream(self, size: int) -> Any:
        stream = self._agent.stream(size)
        assert not isinstance(stream, BatchStream)
        stream.decoder.reuse = False
        return stream
