import sys

import gymnasium as gym
import pytest

from act_gym import UnknownNameError, UsageError, play, tasks
from act_gym.wrappers import INTERFACES, wrap
from agents.baselines import ExpertAgent

GENERATED = {"ALFWorld": "act/ALFWorld-generated-seen", "WebShop": "act/WebShop-generated-seen"}


@pytest.fixture
def env():
    made = gym.make("act/ALFWorld-generated-seen", disable_env_checker=True)
    yield made
    made.close()


@pytest.mark.parametrize("kind", INTERFACES[1:])
@pytest.mark.parametrize("name", GENERATED)
def test_an_expert_wins_in_the_words_of_the_interface(name, kind):
    env_id = GENERATED[name]
    chosen = tasks(env_id)[:2]
    options = {"wrappers": [f"interface:kind={kind}"]}
    episodes = list(play(env_id, ExpertAgent(), chosen, env_options=options))
    original = {one.task.id: one for one in play(env_id, ExpertAgent(), chosen)}
    for episode in episodes:
        before = original[episode.task.id]
        assert episode.success == before.success
        assert len(episode.turns) == len(before.turns)
        assert not {turn.action for turn in episode.turns} & {turn.action for turn in before.turns}
        searches = ("find[", "do[search")  # are listed without their words
        others = [turn for turn in episode.turns if not turn.action.startswith(searches)]
        assert all(turn.action in turn.admissible_commands for turn in others)


@pytest.mark.parametrize("kind", INTERFACES[1:])
def test_every_command_survives_two_translations(env, kind):
    shifted = wrap(env, [f"interface:kind={kind}"])
    _, info = env.reset(seed=0)
    for command in (*info["admissible_commands"], *env.unwrapped.expert_commands()):
        assert shifted.wording(command) != command
        assert shifted.meaning(shifted.wording(command)) == command


def test_the_simulators_own_words_are_no_longer_understood(env):
    shifted = wrap(env, ["interface:kind=renamed"])
    _, info = shifted.reset(seed=0)
    own = next(iter(env.unwrapped.expert_commands()))
    assert shifted.step(own)[4]["action_valid"] is False
    assert list(info["admissible_commands"]) == sorted(info["admissible_commands"])


def test_history_commands_and_replies_are_wrapped_in_order(env):
    shown = wrap(env, ["commands:most=2", "history:turns=1", "think-action"])
    first, info = shown.reset(seed=0)
    listed = "; ".join(info["admissible_commands"][:2])
    assert first.endswith(f"Possible actions: {listed}")
    second, *_, info = shown.step("<think>hm</think><action>look</action>")
    assert second.startswith(f"{first}\n> look\n\n")
    assert info["action_valid"]
    assert not shown.step("look")[4]["action_valid"]


def test_wrong_wrappers_are_refused(env):
    with pytest.raises(UnknownNameError, match="histroy"):
        wrap(env, ["histroy"])
    with pytest.raises(UsageError, match="cannot be made with"):
        wrap(env, ["history:turn=1"])
    with pytest.raises(UnknownNameError, match="merge"):
        wrap(env, ["interface:kind=merge"])


def test_a_wrapper_of_ones_own_is_found_in_the_working_folder(env, tmp_path, monkeypatch):
    (tmp_path / "loud_wrapper.py").write_text(
        "import gymnasium as gym\n\n\nclass Loud(gym.ObservationWrapper):\n"
        "    def observation(self, observation):\n        return observation.upper()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [place for place in sys.path if place])
    observation, _ = wrap(env, ["loud_wrapper:Loud"]).reset(seed=0)
    assert observation.isupper()
    with pytest.raises(UsageError, match="No module quiet_wrapper for the wrapper quiet_wrapper:Quiet"):
        wrap(env, ["quiet_wrapper:Quiet"])
