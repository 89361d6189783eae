"""The arithmetic: lengths in a byte, weights and denominators of 32 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.search.bm25 import LENGTHS, denominators, length_byte, weight


def test_lengths_become_lucenes_bytes(lucene_says):
    lengths, expected = zip(*lucene_says["lengths"], strict=True)
    assert length_byte(np.array(lengths)).tolist() == list(expected)


@given(st.integers(0, 2**31 - 1))
def test_a_length_is_rounded_down_by_less_than_an_eighth(length):
    rounded = int(LENGTHS[length_byte(np.array([length]))[0]])
    assert rounded <= length < rounded + max(1, rounded / 7)


def test_a_term_in_every_second_of_four_documents():
    assert weight(1, having=2, documents=4) == np.float32(np.log(2.0))
    assert weight(3, having=2, documents=4) == np.float32(3) * np.float32(np.log(2.0))


def test_a_document_of_average_length_divides_by_k1():
    found = denominators(np.array([1, 3]), length_byte(np.array([10, 10])), terms=100, documents=10)
    assert found.dtype == np.float32
    assert found == pytest.approx([1 + 1 / 0.9, 1 + 3 / 0.9])


def test_without_documents_nothing_is_divided_by_zero():
    assert denominators(np.array([0]), length_byte(np.array([0])), terms=0, documents=0).tolist() == [1.0]
