"""Whole episodes: the loss of training every state alone, in one pass or many, with branches for labels not played."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.benchmarks import tasks
from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.rollout import play
from act_gym.types import Episode
from agents.baselines import RandomAgent
from agents.local.agent import LocalAgent, LocalSettings
from agents.mixture import MixtureAgent
from agents.prompt_config import TRAINED_WITH, Question
from agents.search_expert import SearchExpert
from trainers.sft.episodes import EpisodeRow, encode_episode, passes, states_of

pytestmark = pytest.mark.slow

ENV = "act/ALFWorld-generated-seen"
QUESTION = Question(history="conversation")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    agent = MixtureAgent(SearchExpert(), RandomAgent(), 0.6)
    return list(play(ENV, agent, tasks(ENV)[:4], env_options={"max_episode_steps": 7}))


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Any:
    from agents.local.model import Policy

    loaded = Policy.load(str(tiny_model), dtype="float32")
    loaded.model.config.max_position_embeddings = 8192  # rotary positions have no end
    return loaded


@pytest.fixture(scope="module")
def rows(policy: Any, episodes: list[Episode]) -> list[EpisodeRow]:
    return [encode_episode(policy, episode, QUESTION) for episode in episodes]


def loss_of(policy: Any, rows: list[EpisodeRow], *, budget: int = 0, packed: bool = True) -> tuple[float, list[Any]]:
    """Return the summed loss of a batch and its gradients, as the collator lays it out."""
    import torch

    from trainers.sft.episode_trainer import EpisodeCollator
    from trainers.varlen import use

    if packed:
        assert use(policy.model)
    collator = EpisodeCollator(rows=rows, budget=budget, observation_weight=0.0, packed=packed, padding=0)
    policy.model.zero_grad()
    total = 0.0
    for part in collator([{"row": number} for number in range(len(rows))])["passes"]:
        labels, weights = part.pop("shift_labels"), part.pop("weights")
        logits = policy.model(**part, use_cache=False).logits.float()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        loss = (losses * weights.flatten()).sum()
        loss.backward()
        total += float(loss.detach())
    return total, [parameter.grad.clone() for parameter in policy.model.parameters()]


def test_an_episode_costs_what_its_states_cost_alone(policy: Any, rows: list[EpisodeRow]) -> None:
    import torch

    assert any(row.branches for row in rows)
    assert any(row.labels for row in rows)
    alone = [state for row in rows for state in states_of(row)]
    assert len(alone) == sum(row.turns for row in rows)
    whole, gradients = loss_of(policy, rows)
    apart, others = loss_of(policy, alone, packed=False)
    assert whole == pytest.approx(apart, rel=1e-5)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("budget", [1, 1500])
def test_a_budget_of_tokens_changes_nothing(policy: Any, rows: list[EpisodeRow], budget: int) -> None:
    import torch

    assert len(passes(rows, budget)) > 1
    whole, gradients = loss_of(policy, rows)
    cut, others = loss_of(policy, rows, budget=budget)
    assert cut == pytest.approx(whole, rel=1e-5)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_passes_hold_what_fits_and_every_episode_once(rows: list[EpisodeRow]) -> None:
    longest = max(row.size for row in rows)
    for budget in (1, longest, 2 * longest):
        found = passes(rows, budget)
        assert [row for part in found for row in part] == rows
        assert all(len(part) == 1 or sum(row.size for row in part) <= budget for part in found)
    assert passes(rows, 0) == [rows]


def test_training_reads_the_tokens_that_play_reads(
    policy: Any, episodes: list[Episode], rows: list[EpisodeRow]
) -> None:
    """Each label follows the very prompt that the agent is asked with in that state."""
    from act_gym.agent import AgentInput

    agent = LocalAgent(LocalSettings(history="conversation"), policy=policy)
    for episode, row in zip(episodes, rows, strict=True):
        trained = {tuple(state.tokens[: state.labels[0][0]]): state for state in states_of(row)}
        for number, turn in enumerate(episode.turns):
            view = AgentInput(
                task=episode.task, goal=episode.goal, observation=turn.observation, history=episode.turns[:number]
            )
            state = trained[tuple(policy.prompt_ids(agent._prompt(view)))]
            label = policy.tokenizer.decode(state.tokens[slice(*state.labels[0])])
            assert label == f"<action>{turn.label}</action><|im_end|>"


def test_turns_without_a_label_are_only_read(policy: Any, episodes: list[Episode]) -> None:
    episode = max(episodes, key=lambda one: len(one.turns))
    unlabelled = replace(episode, turns=(*(replace(turn, label="") for turn in episode.turns[:-1]), episode.turns[-1]))
    row = encode_episode(policy, unlabelled, QUESTION)
    assert row.turns == 1
    assert encode_episode(policy, episode, QUESTION).turns == len(episode.turns)


def test_a_long_episode_is_cut_before_a_turn(policy: Any, episodes: list[Episode], rows: list[EpisodeRow]) -> None:
    row = rows[0]
    limit = len(row.tokens) - 5
    cut = encode_episode(policy, episodes[0], QUESTION, max_tokens=limit)
    assert len(cut.tokens) <= limit
    assert cut.tokens == row.tokens[: len(cut.tokens)]
    assert cut.turns + cut.left_out == row.turns
    assert cut.left_out >= 1


def written(path: Path, episodes: list[Episode]) -> Path:
    with RecordWriter(path) as writer:
        for episode in episodes:
            writer.write(episode.to_json())
    return path


def test_imitation_of_episodes_learns_and_says_how_it_asked(
    tiny_model: Path, tmp_path: Path, episodes: list[Episode]
) -> None:
    from trainers.imitation import ImitationConfig, train

    path = written(tmp_path / "episodes.jsonl", episodes)
    settings = ImitationConfig(
        episodes=(path,),
        model=str(tiny_model),
        out=tmp_path / "run",
        epochs=12,
        batch=2,
        learning_rate=1e-2,
        observation_weight=0.1,
        max_tokens_per_pass=1000,
        save_every=0,
        precision="fp32",
    )
    summary = train(settings)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line and "step" in line]
    assert summary["labels"] == sum(bool(turn.label) for episode in episodes for turn in episode.turns)
    assert losses[-1] < losses[0] - 1.0  # nats a trained token
    checkpoint = tmp_path / "run" / "checkpoint"
    assert json.loads((checkpoint / TRAINED_WITH).read_text())["history"] == "conversation"
    agent = LocalAgent(LocalSettings(model=str(checkpoint)))
    assert agent._question.history == "conversation"


def test_other_prompts_than_in_training_are_named(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_model, folder)
    facts = {**Question(history="conversation").facts(), "prompts_sha256": "0" * 64}
    (folder / TRAINED_WITH).write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="trained with other prompts.*prompts_sha256"):
        LocalSettings(model=str(folder)).question()


def test_episodes_without_labels_are_refused(tiny_model: Path, tmp_path: Path, episodes: list[Episode]) -> None:
    from trainers.sft.episodes import read_episodes

    plain = [replace(one, turns=tuple(replace(turn, label="") for turn in one.turns)) for one in episodes]
    with pytest.raises(UsageError, match=r"holds a label.*act-gym train collect"):
        read_episodes([written(tmp_path / "plain.jsonl", plain)])
    (tmp_path / "other.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(RunError, match="line 1, is no Episode"):
        read_episodes([tmp_path / "other.jsonl"])


def test_a_limit_takes_episodes_of_all_types(tmp_path: Path, episodes: list[Episode]) -> None:
    from trainers.sft.episodes import read_episodes

    sorted_by_type = [
        replace(episodes[0], task=replace(episodes[0].task, id=f"{kind}/{number}", task_type=kind))
        for kind, count in (("look", 4), ("pick", 1), ("heat", 3))
        for number in range(count)
    ]
    path = written(tmp_path / "sorted.jsonl", sorted_by_type)
    assert [one.task.id for one in read_episodes([path], 5)] == ["look/0", "look/1", "pick/0", "heat/0", "heat/1"]
    assert len(read_episodes([path], 100)) == len(read_episodes([path])) == 8
