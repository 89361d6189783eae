"""Texts become the terms that Lucene makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.search.analyzer import _ASCII, LONGEST, STOP_WORDS, _words, analyse, kinds, split, stem

anything = st.text(st.characters(codec="utf-16")) | st.text("aZ09'.,:_ \"#🙂\u200d\ufe0fאカ漢\u0301🇩", max_size=40)


def units(word):
    return len(word.encode("utf-16-le")) // 2


def test_the_terms_are_those_that_lucene_makes(lucene_says):
    found = {text: list(analyse(text)) for text, _ in lucene_says["texts"]}
    assert found == dict(lucene_says["texts"])
    assert len(found) > 150


@given(anything)
def test_words_are_parts_of_the_text_in_their_order(text):
    place = 0
    for word in split(text):
        place = text.index(word, place) + len(word)
        assert 1 <= units(word) <= LONGEST


@given(st.lists(anything))
def test_no_word_reaches_across_a_space(texts):
    assert split(" ".join(texts)) == [word for text in texts for word in split(text)]


@given(st.text("abYZ019'.,:;_ #*\"-\n", max_size=60) | st.text(st.characters(max_codepoint=127), max_size=60))
def test_the_fast_way_for_ascii_finds_what_the_rules_find(text):
    assert _ASCII.findall(text) == list(_words(text))


@given(anything)
def test_case_never_matters_in_ascii(text):
    ascii_only = text.encode("ascii", "ignore").decode()
    assert analyse(ascii_only.upper()) == analyse(ascii_only.lower())


@given(st.text())
def test_terms_are_neither_empty_nor_stop_words_that_were_words(text):
    assert all(term and " " not in term for term in analyse(text))
    assert not {word.lower() for word in split(text) if analyse(word)} & STOP_WORDS


@pytest.mark.parametrize("row", ["_", "__a", "é_", "#", "'", "\u200d", "a.", "1,"])
def test_a_long_row_of_one_sign_is_cut_before_the_tests_time_is_up(row):
    assert all(units(word) <= LONGEST for word in split(row * 200_000))


def test_half_of_a_pair_of_surrogates_is_in_no_word():
    assert analyse("a1\ud800b \udc00 c2") == ("a1", "b", "c2")


def test_each_letter_is_of_one_kind():
    letters = [letter for spans in kinds().values() for first, last in spans for letter in range(first, last + 1)]
    assert len(letters) == len(set(letters))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("is", "is"),  # the paper makes it "i"
        ("possibly", "possibl"),  # the paper does not know bli
        ("apology", "apolog"),
        ("apologies", "apolog"),
        ("hopping", "hop"),
        ("sky", "sky"),
        ("happy", "happi"),
        ("controlling", "control"),
        ("nation", "nation"),
    ],
)
def test_stems_are_those_of_porters_own_program(word, expected):
    assert stem(word) == expected


@given(st.text("abceilnostuvyz", max_size=25))
def test_a_stem_is_no_longer_than_its_word(word):
    assert len(stem(word)) <= len(word)
    assert stem(word)[:1] == word[:1]
