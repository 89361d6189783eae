from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.alfworld.generate.rng import Draw

KEYS = st.text(st.characters(codec="utf-8"), max_size=20)


def test_a_stream_is_the_same_on_every_machine_and_version():
    draw = Draw("frozen")
    assert [draw.between(0, 999_999) for _ in range(4)] == [510545, 832440, 539124, 612138]
    assert [Draw("frozen").one("abcdefgh"), Draw("other").one("abcdefgh")] == ["e", "f"]


@given(KEYS)
def test_equal_keys_give_equal_streams(key):
    first, second = Draw(key), Draw(key)
    assert [first.between(0, 10**9) for _ in range(5)] == [second.between(0, 10**9) for _ in range(5)]


def test_other_keys_give_other_streams():
    assert {Draw(f"{split}/{index}").between(0, 9) for split in "ab" for index in range(200)} == set(range(10))


@given(KEYS, st.integers(-50, 50), st.integers(0, 50))
def test_a_number_lies_between_its_bounds(key, low, width):
    draw = Draw(key)
    assert all(low <= draw.between(low, low + width) <= low + width for _ in range(20))


@given(KEYS, st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_an_item_drawn_by_weight_is_one_of_the_items(key, weights):
    items = list(range(len(weights)))
    draw = Draw(key)
    assert all(draw.weighted(items, weights) in items for _ in range(20))


def test_weights_are_shares():
    draw = Draw("shares")
    counts = Counter(draw.weighted("ab", (1.0, 3.0)) for _ in range(4000))
    assert 0.72 < counts["b"] / 4000 < 0.78
    assert 0.22 < sum(draw.chance(0.25) for _ in range(4000)) / 4000 < 0.28
    assert 0.22 < Counter(draw.one("abcd") for _ in range(4000))["c"] / 4000 < 0.28
