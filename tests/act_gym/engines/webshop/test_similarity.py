"""Expected numbers are those of thefuzz 0.19.0 without python-Levenshtein."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.reward import token_set_ratio

EXPECTED = [
    ("machine wash", "machine washable", 86),
    ("long sleeve", "long sleeves", 96),
    ("x-large", "('size', 'large')", 83),
    ("large", "('size', 'large')", 100),
    ("tan", "('fit type', 'standard')", 30),
    ("", "black", 0),
    ("!?", "black", 0),
    ("café au lait", "caf au lait", 100),
    ("Őrség", "őrség", 100),
    ("easy clean", "easy to clean", 100),
    ("12 ounce (pack of 3)", "12 ounce (pack of 4)", 94),
    ("water resistant", "water resistance", 90),
    ("stainless steel", "steel stainless", 100),
    ("b17-army\xa0green", "('color', 'b17-army\\xa0green')", 72),
    ("under_score", "under score", 45),
    ("xx-large", "('size', 'x-large')", 77),
]


@pytest.mark.parametrize(("one", "other", "expected"), EXPECTED)
def test_it_counts_as_the_package_that_webshop_pins(one, other, expected):
    assert token_set_ratio(one, other) == expected


TEXT = st.text(alphabet="abcxyz -_é", max_size=30)


@given(TEXT, TEXT)
def test_it_lies_between_0_and_100_and_order_case_and_repetition_of_words_do_not_count(one, other):
    found = token_set_ratio(one, other)
    assert 0 <= found <= 100
    assert token_set_ratio(f"{one} {one}", other) == found
    assert token_set_ratio(" ".join(reversed(one.split())), other) == found


@given(st.lists(st.sampled_from(["large", "x", "long sleeve", "grey"]), min_size=1))
def test_a_text_with_all_the_words_of_another_is_alike(words):
    assert token_set_ratio(" ".join(words), " ".join([*words, "size"])) == 100
