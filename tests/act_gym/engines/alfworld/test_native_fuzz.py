"""Whatever is said to it, the native engine answers as upstream's packages do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.textworld import TextWorldEngine
from act_gym.splits.alfworld import tasks

TYPES = ("look_at_obj_in_light", "pick_clean_then_place_in_recep", "pick_two_obj_and_place")


class Both:
    """Both engines in the same state of the same game."""

    def __init__(self):
        self.upstream, self.native = TextWorldEngine(), NativeEngine()

    def shown(self, act):
        states = [act(engine) for engine in (self.upstream, self.native)]
        assert states[0] == states[1]
        commands = [engine.admissible_commands() for engine in (self.upstream, self.native)]
        assert commands[0] == commands[1]
        return commands[0]

    def reset(self, task):
        commands = self.shown(lambda engine: engine.reset(task))
        assert self.upstream.goal == self.native.goal
        return commands

    def step(self, command):
        return self.shown(lambda engine: engine.step(command))


@pytest.fixture(scope="module")
def both(alfworld_data):
    pytest.importorskip("textworld")
    made = Both()
    yield made
    made.upstream.close()


@pytest.fixture(scope="module")
def games(alfworld_data):
    """Small games, because upstream takes a second for each step in a big kitchen."""

    def size(task):
        return (alfworld_data / task.payload["game"] / GAME_FILE).stat().st_size

    return {kind: min((task for task in tasks("seen") if task.task_type == kind), key=size) for kind in TYPES}


def mutated(command, place, length, new):
    at = place % (len(command) + 1)
    return command[:at] + new + command[at + length :]


ANY = st.integers(0, 10_000)
ANYTHING = st.text(st.characters(), max_size=30)  # lone surrogates and NUL included
CHANGE = st.builds(
    lambda place, length, new: lambda command: mutated(command, place, length, new),
    ANY,
    st.integers(0, 3),
    st.sampled_from(["", " ", "  ", "\t", "\n", "1", "99", "a", "A", "{o}", "é", "\ud800", "\0", "%s", "\\"]),
)
WHOLE = st.sampled_from([str.upper, str.title, str.swapcase, "  {}\n".format, "{0} {0}".format, "{0}\n{0}".format])
CHOICE = st.tuples(ANY, st.just(str))


@settings(max_examples=8)
@pytest.mark.parametrize("kind", TYPES)
@given(said=st.lists(CHOICE | CHOICE | st.tuples(ANY, CHANGE | WHOLE) | ANYTHING, min_size=1, max_size=8))
def test_any_sequence_of_right_and_wrong_commands_is_answered_alike(both, games, kind, said):
    commands = both.reset(games[kind])
    for each in said:
        command = each if isinstance(each, str) else each[1](commands[each[0] % len(commands)])
        commands = both.step(command)


@settings(max_examples=200)
@given(said=ANYTHING | st.tuples(ANY, CHANGE | WHOLE))
def test_what_is_not_admissible_changes_nothing(both, games, said):
    native = both.native
    native.reset(games[TYPES[0]])
    before, commands = native.snapshot(), native.admissible_commands()
    command = said if isinstance(said, str) else said[1](commands[said[0] % len(commands)])
    state = native.step(command)
    if command.strip() in commands:
        assert state.action_valid
    else:
        assert (state.observation, state.action_valid) == ("Nothing happens.", False)
        assert native.admissible_commands() == commands
        assert native.snapshot().position.tables == before.position.tables


@settings(max_examples=10)
@given(said=ANYTHING)
def test_upstream_itself_says_that_nothing_happens(both, games, said):
    # The engine around upstream answers what is not admissible by itself; here upstream is asked.
    commands = both.reset(games[TYPES[0]])
    if said.strip() not in commands:
        shown, _, won = both.upstream._env.step(said)
        assert (shown.feedback, won) == (both.native.step(said).observation, False)
        assert tuple(shown["admissible_commands"]) == both.native.admissible_commands()
