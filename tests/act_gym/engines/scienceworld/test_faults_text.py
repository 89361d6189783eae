"""Any text is one command to ScienceWorld: one observation comes back, and nothing in it is py4j's protocol."""

import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import act_gym
from act_gym.engines.scienceworld import JvmEngine

TASK = act_gym.tasks("act/ScienceWorld")[0]

# What py4j takes for the ends of a call, a call of its own, and the end of everything.
PROTOCOL = (
    "wait1\ne\n",
    "e\nc\nz:java.lang.System\nexit\ni1\ne\n",
    "\ns\ne\n",
    "look around\nq\n",
    "!yv\n",
    "\\n\\e\\\\n\\",
    "sfocus on agent",
)

# Letters that could matter on the way: controls, line ends of all alphabets, joiners, right-to-left marks, surrogates.
ODD = st.text(
    st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Lo", "So")) | st.sampled_from("\\\n\r\"'!"),
    max_size=80,
)


@pytest.fixture(scope="module")
def engine():
    made = JvmEngine()
    made.reset(TASK)
    yield made
    made.close()


def told(engine):
    """How many commands the simulator has been told since the task was loaded."""
    world = engine._world._world
    with world.jvm.calling("counting"):
        return len(world._strings(world._interface.getActionHistory()))


def assert_it_is_one_command(engine, text):
    jvm, count = engine._world.jvm, told(engine)
    inventory = engine.observe("inventory")
    state = engine.step(text)
    assert state.observation
    assert not state.terminated
    assert told(engine) <= count + 1  # `help` and `objects` are not counted
    assert engine._world.jvm is jvm
    # The answers that follow belong to the questions that they follow.
    assert engine.observe("inventory") == inventory
    assert engine.step("task").observation.startswith("Task description:")


@settings(max_examples=40)
@given(text=ODD)
@example(text="look\x00around\r\n\x1b[2J")
@example(text="\ud800\udfff e\ny \udc80")
@example(text="\u2028\u2029\x85\x0b\x0c\x1c")
@example(text="".join(map(chr, range(256))))
def test_odd_letters(engine, text):
    assert_it_is_one_command(engine, text)


@pytest.mark.parametrize("text", PROTOCOL)
def test_what_the_protocol_is_made_of(engine, text):
    assert_it_is_one_command(engine, text)


@pytest.mark.parametrize("unit", ["x", "the a ", "\n", "\ud800", "é🜁\x00", "\\", '"'])
def test_a_megabyte(engine, unit):
    assert_it_is_one_command(engine, unit * ((1 << 20) // len(unit)))


@pytest.mark.parametrize("text", PROTOCOL)
def test_the_simulator_gets_every_line_break_as_it_is(engine, text):
    """Below the engine, which makes spaces of them: py4j's own escaping holds too."""
    world = engine._world._world
    with world.jvm.calling("counting"):
        java = world.jvm.classes.java.lang.String(text)
    assert java == text


def test_every_letter_there_is(engine):
    """A thousand at a time, which is what is kept of a command."""
    letters = "".join(map(chr, range(0x20, sys.maxunicode, 97)))
    for start in range(0, len(letters), 1000):
        assert engine.step(letters[start : start + 1000]).observation
    assert engine.step("task").observation.startswith("Task description:")
