import json
from dataclasses import replace

import pytest

from act_gym.errors import AgentError
from act_gym.types import Turn
from agents.local.agent import LocalAgent, LocalSettings
from agents.prompt_config import TRAINED_WITH, Question
from agents.prompts import format_reply, read_reply


def test_the_label_names_what_changes_the_behaviour_and_nothing_else() -> None:
    assert LocalSettings(device="cpu").label() == "free"
    assert LocalSettings(decode="ranked", window=0, temperature=0.5).label() == "ranked,window=0"
    assert LocalSettings(thinking=True, temperature=0.4).label() == "free,thinking,temperature=0.4"


@pytest.mark.slow
def test_ranked_choices_are_admissible_and_marked(policy, make_view) -> None:
    agent = LocalAgent(LocalSettings(decode="ranked"), policy=policy)
    view = make_view()
    (choice,) = agent.act([view])
    assert agent.name == "SmolLM2-135M-Instruct:ranked"
    assert choice.action in view.admissible_commands
    assert choice.response.startswith(format_reply(choice.action) + " (likeliest of 4,")
    assert read_reply(choice.response).action == choice.action
    many = make_view(admissible_commands=[f"{verb} thing {n}" for verb in ("look at", "open") for n in range(30)])
    (cut,) = LocalAgent(LocalSettings(decode="ranked", max_nodes=1), policy=policy).act([many])
    assert "(best found in" in cut.response


@pytest.mark.slow
def test_free_choices_repeat_themselves_alone_and_in_a_batch(policy, make_view) -> None:
    agent = LocalAgent(LocalSettings(temperature=0.8, max_new_tokens=6), policy=policy)
    views = [make_view(), make_view(seed=1), make_view(history=(Turn(observation="before", action="look"),))]
    together = list(agent.act(views))
    assert together == [agent.act([view])[0] for view in views]
    assert all(choice.action == (read_reply(choice.response).action or "") for choice in together)
    assert all(0 < choice.completion_tokens <= 6 < choice.prompt_tokens for choice in together)


@pytest.mark.slow
def test_a_long_history_loses_its_oldest_turns_and_nothing_else(policy, make_view, monkeypatch) -> None:
    turns = tuple(Turn(observation=f"saw {n} " + "word " * 150, action=f"step {n}") for n in range(4))
    view = make_view(history=turns)
    agent = LocalAgent(LocalSettings(window=4), policy=policy)
    assert "step 0" in agent._prompt(view)[0]["content"]
    monkeypatch.setattr(policy.model.config, "max_position_embeddings", 600)
    shorter = agent._prompt(view)[0]["content"]
    assert "step 0" not in shorter
    assert "step 3" in shorter
    assert view.observation in shorter
    assert len(policy.prompt_ids(agent._prompt(view))) + 32 <= 600
    monkeypatch.setattr(policy.model.config, "max_position_embeddings", 60)
    with pytest.raises(AgentError, match="does not fit"):
        agent.act([view])


@pytest.mark.slow
def test_nothing_to_rank_is_an_agent_error(policy, make_view) -> None:
    with pytest.raises(AgentError, match="admissible_commands=True"):
        LocalAgent(LocalSettings(decode="ranked"), policy=policy).act([make_view(admissible_commands=())])


def test_a_checkpoint_is_asked_as_it_was_trained_unless_set(tmp_path):
    trained = Question(history="window", window=1, list_commands=20, max_characters=300)
    (tmp_path / TRAINED_WITH).write_text(json.dumps(trained.facts()))
    assert LocalSettings(model=str(tmp_path)).question() == trained
    with pytest.warns(UserWarning, match="they differ in window, max_characters"):
        asked = LocalSettings(model=str(tmp_path), window=0, max_characters=500).question()
    assert asked == replace(trained, window=0, max_characters=500)
    with pytest.warns(UserWarning, match="they differ in list_commands, history"):
        assert LocalSettings(model=str(tmp_path), history="conversation").question().list_commands == 0
    assert LocalSettings().question() == Question(), "a model that was not trained here has the defaults"
