"""The search expert on real and generated games: it wins, from any state, and knows only what it saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.agent import AgentInput
from act_gym.benchmarks import tasks
from act_gym.errors import AgentError
from act_gym.rollout import play
from act_gym.types import Task, Turn
from agents.baselines import RandomAgent
from agents.mixture import MixtureAgent
from agents.search_expert import Belief, Goal, SearchExpert, read_goal

GENERATED = "act/ALFWorld-generated-unseen"
ROOM = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a countertop 1, a fridge 1, "
    "and a sinkbasin 1.\n\nYour task is to: put a clean mug in cabinet."
)


def view(*played: tuple[str, str], observation: str = ROOM, commands: tuple[str, ...] = ()) -> AgentInput:
    return AgentInput(
        task=Task(id="alfworld/seen/x", benchmark="ALFWorld", split="seen", task_type="pick_clean_then_place_in_recep"),
        goal="put a clean mug in cabinet.",
        observation=observation,
        admissible_commands=commands,
        history=tuple(Turn(observation=before, action=action) for before, action in played),
    )


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("put a pencil in shelf.", Goal("pencil", "shelf")),
        ("put some saltshaker on cabinet.", Goal("saltshaker", "cabinet")),
        ("clean some bowl and put it in cabinet.", Goal("bowl", "cabinet", change="clean")),
        ("put a hot cup in diningtable.", Goal("cup", "diningtable", change="heat")),
        ("put a cool pan in sidetable.", Goal("pan", "sidetable", change="cool")),
        ("find two cd and put them in safe.", Goal("cd", "safe", count=2)),
        ("put two pan in cabinet.", Goal("pan", "cabinet", count=2)),
        ("look at bowl under the desklamp.", Goal("bowl", lamp="desklamp")),
        ("examine the keychain with the desklamp.", Goal("keychain", lamp="desklamp")),
    ],
)
def test_goals_of_every_form_are_read(text: str, goal: Goal) -> None:
    assert read_goal(text) == goal


@given(st.text())
def test_any_other_goal_is_refused_by_name(text: str) -> None:
    with pytest.raises(AgentError, match="cannot read the goal"):
        read_goal(f"dance {text}".replace("put", "").replace("examine", "").replace("look", ""))


def test_the_belief_holds_what_was_seen_and_nothing_else() -> None:
    belief = Belief.of(
        view(
            (ROOM, "go to cabinet 1"),
            ("You arrive at cabinet 1. The cabinet 1 is closed.", "open cabinet 1"),
            ("You open the cabinet 1. The cabinet 1 is open. In it, you see a mug 1, and a plate 2.", "take mug 1"),
            ("You pick up the mug 1 from the cabinet 1.", "clean mug 1 with sinkbasin 1"),
            observation="You clean the mug 1 using the sinkbasin 1.",
        )
    )
    assert belief.contents == {"cabinet 1": {"plate 2"}, "countertop 1": None, "fridge 1": None, "sinkbasin 1": None}
    assert (belief.here, belief.carried, belief.changes, belief.closed) == (
        "cabinet 1",
        "mug 1",
        {"mug 1": {"clean"}},
        set(),
    )


def test_an_unseen_object_is_searched_where_such_are_most_often() -> None:
    commands = tuple(f"go to {place}" for place in ("cabinet 1", "countertop 1", "fridge 1", "sinkbasin 1"))
    assert SearchExpert().act([view(commands=commands)])[0].action == "go to countertop 1"


def test_hidden_facts_do_not_change_what_it_does(alfworld_data: Path) -> None:
    """The same observations lead to the same action, whatever the commands reveal of what was not seen."""
    commands = ("go to cabinet 1", "go to countertop 1", "take mug 1 from fridge 1")
    assert SearchExpert().act([view(commands=commands)])[0].action == "go to countertop 1"


def test_it_wins_generated_games_within_50_turns() -> None:
    played = list(play(GENERATED, SearchExpert(), tasks(GENERATED)[:30], env_options={"max_episode_steps": 50}))
    assert [episode.task.id for episode in played if not episode.success] == []


def test_it_wins_official_unseen_games_within_50_turns(alfworld_data: Path) -> None:
    env_id = "act/ALFWorld-unseen"
    played = list(play(env_id, SearchExpert(), tasks(env_id), env_options={"max_episode_steps": 50}))
    assert sum(episode.success for episode in played) >= 0.98 * 134


def test_it_wins_with_the_commands_of_older_releases(alfworld_data: Path) -> None:
    env_id = "act/ALFWorld-seen"
    options = {"max_episode_steps": 50, "legacy_commands": True}
    played = list(play(env_id, SearchExpert(), tasks(env_id)[:20], env_options=options))
    assert all(episode.success for episode in played)


def test_it_recovers_from_random_commands() -> None:
    """Half of the commands are random; games with a dead end, a thing that fits nowhere, are the only ones lost."""
    agent = MixtureAgent(SearchExpert(), RandomAgent(), 0.5)
    played = list(play(GENERATED, agent, tasks(GENERATED)[:40], env_options={"max_episode_steps": 100}))
    assert sum(episode.success for episode in played) >= 36
    assert all(turn.label for episode in played for turn in episode.turns)


def test_a_task_of_another_benchmark_is_refused() -> None:
    one = view()
    other = replace(one, task=replace(one.task, benchmark="WebShop", id="webshop/1"))
    with pytest.raises(AgentError, match="plays ALFWorld; webshop/1 is a task of WebShop"):
        SearchExpert().act([other])
