import numpy as np
import pytest

from act_gym import sampling
from act_gym.sampling import EpochSampler


@pytest.mark.parametrize("shuffled", [0, 100])
def test_every_number_comes_once_before_any_comes_again(monkeypatch, shuffled):
    monkeypatch.setattr(sampling, "_SHUFFLED", shuffled)
    drawn = EpochSampler(50)
    random = np.random.default_rng(3)
    first, second = ([drawn.draw(random) for _ in range(50)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_large_sweeps_are_as_even_as_small_ones(monkeypatch):
    monkeypatch.setattr(sampling, "_SHUFFLED", 0)
    random = np.random.default_rng(4)
    places = np.zeros((6, 6))
    for _ in range(6000):
        drawn = EpochSampler(6)
        for place in range(6):
            places[place, drawn.draw(random)] += 1
    assert places.min() > 850
    assert places.max() < 1150


def test_a_sweep_of_millions_remembers_what_was_drawn_and_no_more():
    drawn = EpochSampler(4_000_000)
    random = np.random.default_rng(5)
    found = [drawn.draw(random) for _ in range(1000)]
    assert len(set(found)) == 1000
    assert len(drawn._moved) <= 1000


def test_a_restart_begins_again(monkeypatch):
    drawn = EpochSampler(5)
    drawn.draw(np.random.default_rng(6))
    drawn.restart()
    assert sorted(drawn.draw(np.random.default_rng(7)) for _ in range(1)) == [
        EpochSampler(5).draw(np.random.default_rng(7))
    ]
