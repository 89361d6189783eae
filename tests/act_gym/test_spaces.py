import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from act_gym.errors import EngineError
from act_gym.spaces import UnicodeText


class Echo(gym.Env):
    """Shows the last action; the space keeps 64 bytes."""

    def __init__(self):
        self.observation_space = UnicodeText(64)
        self.action_space = UnicodeText(64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "", {}

    def step(self, action):
        return action, 0.0, False, False, {}


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_every_string_is_in_the_space(text):
    assert text in UnicodeText(4)


@pytest.mark.parametrize("value", [None, 7, b"bytes", ["a"], np.array("a")])
def test_nothing_else_is_in_the_space(value):
    assert value not in UnicodeText()


def test_samples_are_short_strings_and_follow_the_seed():
    first, second = UnicodeText(seed=3), UnicodeText(seed=3)
    drawn = [first.sample() for _ in range(50)]
    assert drawn == [second.sample() for _ in range(50)]
    assert all(1 <= len(text) <= 32 for text in drawn)
    assert len(set(drawn)) > 40
    assert all(len(text) <= 4 for text in (UnicodeText(4, seed=seed).sample() for seed in range(50)))


def test_spaces_are_equal_if_they_hold_the_same_and_survive_pickling():
    assert UnicodeText(8) == UnicodeText(8)
    assert UnicodeText(8) != UnicodeText(9)
    assert UnicodeText(8) != gym.spaces.Text(8)
    assert pickle.loads(pickle.dumps(UnicodeText(8))) == UnicodeText(8)
    assert repr(UnicodeText(8)) == "AnyText(8)"


# Umlauts, symbols beyond the basic plane, a lone surrogate, nulls, and exactly the 64 bytes there are.
TEXTS = ["", "plain", "größer ½ 漢字 🜁", "\ud800", "\x00a\x00", "x" * 64, "é" * 32, "short again"]


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_vector_environments_carry_every_string(kind):
    with_memory = {"shared_memory": True} if kind is AsyncVectorEnv else {}
    envs = kind([Echo, Echo], **with_memory)
    try:
        observations, _ = envs.reset(seed=0)
        assert tuple(observations) == ("", "")
        for text in TEXTS:
            observations, *_ = envs.step((text, text[:1]))
            assert tuple(observations) == (text, text[:1])
    finally:
        envs.close()


def test_a_string_too_long_for_shared_memory_is_an_error_that_names_the_way_out():
    envs = AsyncVectorEnv([Echo, Echo], shared_memory=True)
    envs.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium also prints the worker's traceback as a warning
        with pytest.raises(EngineError, match="shared_memory=False"):
            envs.step(("short", "é" * 33))
        envs.close(terminate=True)


def test_a_vector_environment_that_does_not_copy_shows_the_latest_observations():
    envs = AsyncVectorEnv([Echo, Echo], shared_memory=True, copy=False)
    try:
        observations, _ = envs.reset()
        envs.step(("a", "b"))
        assert list(observations) == ["a", "b"]
        assert observations[-1] == "b"
        assert observations[:1] == ("a",)
        assert len(observations) == 2
        assert repr(observations) == "('a', 'b')"
    finally:
        envs.close()


def test_without_shared_memory_any_length_passes():
    envs = AsyncVectorEnv([Echo, Echo], shared_memory=False)
    try:
        envs.reset()
        observations, *_ = envs.step(("x" * 1000, ""))
        assert tuple(observations) == ("x" * 1000, "")
    finally:
        envs.close()
