"""What an index finds, beside the same arithmetic spelled out, and what it says when it is broken."""

import math
import shutil
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_gym.engines.webshop.search import SearchIndex, build, verify
from act_gym.engines.webshop.search.analyzer import analyse
from act_gym.engines.webshop.search.bm25 import LENGTHS, length_byte
from act_gym.engines.webshop.search.files import write_header
from act_gym.errors import CorruptDataError, MissingDataError

f32 = np.float32


@pytest.fixture(scope="module")
def built(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "search"
    names, documents = corpus(400, 7)
    build(documents, folder, names=names)
    return folder


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "copy")


def spelled_out(documents, names, query):
    """Return positions and scores of everything that has one of the words, by the formula, one number at a time."""
    terms = [Counter(analyse(text)) for text in documents]
    filled = [found for found in terms if found]
    average = f32(sum(found.total() for found in filled) / max(len(filled), 1))
    scores = {}
    for term, count in Counter(analyse(query)).items():
        having = sum(term in found for found in terms)
        idf = f32(math.log(1 + (len(filled) - having + 0.5) / (having + 0.5))) if filled else f32(0)
        worth = f32(count) * idf
        for place, found in enumerate(terms):
            if term in found:
                length = f32(LENGTHS[length_byte(np.array([found.total()]))[0]])
                inverse = f32(1) / (f32(0.9) * ((f32(1) - f32(0.4)) + f32(0.4) * length / average))
                scores[place] = scores.get(place, 0.0) + float(worth - worth / (f32(1) + f32(found[term]) * inverse))
    return sorted(((place, float(f32(score))) for place, score in scores.items()), key=lambda x: (-x[1], names[x[0]]))


documents = st.lists(
    st.lists(st.sampled_from(["red", "blue", "shirts", "the", "of", "tea", "🙂"]), max_size=9), max_size=30
)


@settings(max_examples=30)
@given(
    documents, st.lists(st.sampled_from(["red", "blue", "shirt", "tea", "shoe", "🙂"]), max_size=6), st.integers(1, 12)
)
def test_an_index_finds_what_the_formula_says(tmp_path_factory, drawn, words, limit):
    texts, query = [" ".join(words) for words in drawn], " ".join(words)
    names = [f"{place * 7919 % 31:02d}" for place in range(len(texts))]
    folder = tmp_path_factory.mktemp("index")
    build(texts, folder, names=names)
    expected = tuple(spelled_out(texts, names, query)[:limit])
    assert SearchIndex(folder).scored(query, limit) == expected


def test_a_word_that_is_there_twice_counts_twice(built):
    index = SearchIndex(built)
    (_, once), *_ = index.scored("gluten", 1)
    (_, twice), *_ = index.scored("gluten Gluten", 1)
    assert twice == 2 * once


@pytest.mark.parametrize("query", ["", " ", "the of and", "zzzz", "½ _ -", "\ud800"])
def test_nothing_to_find_finds_nothing(built, query):
    assert SearchIndex(built).search(query) == ()


def test_a_limit_of_nothing_finds_nothing(built):
    assert SearchIndex(built).search("shirt", 0) == ()


def test_signs_are_no_operators(built):
    index = SearchIndex(built)
    assert index.search('+red -"shirts" (size:large)~2^5 OR *', 5) == index.search("red shirts size:large 2 5", 5)


def test_threads_do_not_disturb_each_other(built, corpus):
    index = SearchIndex(built)
    _, queries = corpus(100, 5)
    expected = [index.search(query) for query in queries]
    found = {}

    def ask(number):
        found[number] = [index.search(query) for query in queries]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(4))


def test_an_index_without_documents_finds_nothing(tmp_path):
    build([], tmp_path / "none")
    index = SearchIndex(tmp_path / "none")
    assert (len(index), index.search("shirt")) == (0, ())


def test_nothing_in_the_folder_says_how_to_get_an_index(tmp_path):
    with pytest.raises(MissingDataError, match=r"No search index in .*build the index again"):
        SearchIndex(tmp_path)


def test_an_index_of_another_version_is_refused(copy):
    header = copy / "search.json"
    header.write_text(header.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(CorruptDataError, match=r"of version 99; expected 1.*build the index again"):
        SearchIndex(copy)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x80", '{"format": 1}'])
def test_a_broken_header_is_refused(copy, content):
    (copy / "search.json").write_text(content, encoding="latin-1")
    with pytest.raises(CorruptDataError, match="build the index again"):
        SearchIndex(copy)


@pytest.mark.parametrize("name", ["codes.npy", "documents.npy", "names.npy", "ranks.npy", "starts.npy"])
def test_a_file_that_is_not_what_was_written_is_refused(copy, name):
    path = copy / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptDataError, match=rf"{name} has .* bytes and should have"):
        SearchIndex(copy)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptDataError, match=rf"{name} is not what was written.*build the index again"):
        SearchIndex(copy)
    path.unlink()
    with pytest.raises(CorruptDataError, match=rf"{name}, a part of the search index, cannot be read"):
        verify(copy)


def test_postings_that_cannot_be_are_refused_when_they_are_met(copy):
    codes = np.load(copy / "codes.npy")
    np.save(copy / "codes.npy", np.full_like(codes, np.iinfo(codes.dtype).max))
    write_header(copy, {"documents": 400, "filled": 399, "terms": 1000})
    with pytest.raises(CorruptDataError, match=r"not what was written.*build the index again"):
        SearchIndex(copy).search("red shirt")


def test_a_whole_index_passes_the_check(built):
    verify(built)
