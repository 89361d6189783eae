import pytest

from act_gym.errors import UsageError
from agents.local import constrained_decoding
from agents.prompts import acting_messages, format_reply, state_text

pytestmark = pytest.mark.slow

THINGS = ("air", "drawer", "desk 1", "desk 12", "metal pot", "agent")
COMMANDS = [
    "look",
    "look around",
    "inventory",
    "0",
    "open <b>",
    *(f"{verb} {thing}" for verb in ("open", "look at", "focus on") for thing in THINGS),
]
PROMPTS = [
    acting_messages(state_text("put a knife in the drawer", "You see a drawer. " * repeats)) for repeats in (1, 8)
]


def test_every_value_is_that_of_scoring_the_commands_one_by_one(policy) -> None:
    found = constrained_decoding.search(policy, PROMPTS, [COMMANDS, COMMANDS[:7]], top=len(COMMANDS))
    brute = policy.log_probabilities(PROMPTS, [[format_reply(c) for c in part] for part in (COMMANDS, COMMANDS[:7])])
    for ranked, commands, values in zip(found, (COMMANDS, COMMANDS[:7]), brute, strict=True):
        expected = dict(zip(commands, values, strict=True))
        assert ranked.exact
        assert {command for command, _ in ranked.best} == set(commands)
        assert all(abs(value - expected[command]) < 1e-3 for command, value in ranked.best)
        assert [value for _, value in ranked.best] == sorted((v for _, v in ranked.best), reverse=True)


def test_the_search_for_one_finds_the_first_of_all_with_less_work(policy) -> None:
    (everything,) = constrained_decoding.search(policy, PROMPTS[:1], [COMMANDS], top=len(COMMANDS))
    (one,) = constrained_decoding.search(policy, PROMPTS[:1], [COMMANDS])
    assert one.best[0][0] == everything.best[0][0]
    assert one.exact
    assert one.nodes <= everything.nodes
    three = policy.rank(PROMPTS[:1], [COMMANDS], top=3)[0]
    assert [command for command, _ in three] == [command for command, _ in everything.best[:3]]


def test_a_search_cut_short_is_marked_and_its_value_is_true(policy) -> None:
    (cut,) = constrained_decoding.search(policy, PROMPTS[:1], [COMMANDS], max_nodes=1)
    ((command, value),) = cut.best
    assert not cut.exact
    assert abs(policy.log_probabilities(PROMPTS[:1], [[format_reply(command)]])[0][0] - value) < 1e-3


def test_a_model_that_takes_no_trees_gives_the_same_ranking(policy, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree,) = constrained_decoding.search(policy, PROMPTS[:1], [COMMANDS[:6]], top=6)
    monkeypatch.setitem(constrained_decoding._checked, policy.model, False)
    (plain,) = constrained_decoding.search(policy, PROMPTS[:1], [COMMANDS[:6]], top=6)
    assert [command for command, _ in plain.best] == [command for command, _ in tree.best]


def test_duplicates_count_once_and_an_empty_list_is_refused(policy) -> None:
    (found,) = constrained_decoding.search(policy, PROMPTS[:1], [["look", "look"]], top=2)
    assert [command for command, _ in found.best] == ["look"]
    with pytest.raises(UsageError, match="admissible_commands=True"):
        constrained_decoding.search(policy, PROMPTS[:1], [[]])
