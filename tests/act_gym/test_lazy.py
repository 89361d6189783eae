import copy
import gc
import json
import pickle
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engine import LazyTuple
from act_gym.errors import EngineError


class Source:
    """Gives the items and counts how often it is asked."""

    def __init__(self, items):
        self.items = items
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.items


@given(items=st.lists(st.text(max_size=5), max_size=6).map(tuple), index=st.integers(-7, 7))
def test_it_reads_like_the_tuple_it_stands_for(items, index):
    lazy = LazyTuple(Source(items))
    assert (len(lazy), bool(lazy), list(lazy), list(reversed(lazy))) == (
        len(items),
        bool(items),
        list(items),
        list(items[::-1]),
    )
    assert lazy == items
    assert items == lazy
    assert lazy == LazyTuple(Source(items))
    assert lazy != (*items, "more")
    assert lazy != list(items)
    assert (hash(lazy), repr(lazy), lazy[index:], lazy[::2]) == (hash(items), repr(items), items[index:], items[::2])
    assert [word in lazy for word in (*items, "absent", 3)] == [word in items for word in (*items, "absent", 3)]
    assert lazy + ("x",) == items + ("x",)  # noqa: RUF005  (the operator is what is tested)
    assert ("x",) + lazy == ("x",) + items  # noqa: RUF005
    if -len(items) <= index < len(items):
        assert lazy[index] == items[index]
        assert lazy.index(items[index]) == items.index(items[index])
        assert lazy.count(items[index]) == items.count(items[index])
    else:
        with pytest.raises(IndexError):
            lazy[index]


def test_its_items_are_asked_for_once_and_at_the_first_look():
    source = Source(("a", "b"))
    lazy = LazyTuple(source)
    info = {"commands": lazy, "kept": [lazy]}
    assert not lazy.derived
    assert source.asked == 0
    assert info["commands"][0] == "a"
    assert lazy.derived
    assert (list(lazy), len(lazy), source.asked) == (["a", "b"], 2, 1)


def test_what_the_items_came_from_is_forgotten_after_the_look():
    source = Source(("a",))
    gone = weakref.ref(source)
    lazy = LazyTuple(source)
    del source
    gc.collect()
    assert gone() is not None
    assert len(lazy) == 1
    assert gone() is None


def test_a_failed_look_can_be_tried_again():
    answers = iter([EngineError("not now"), ("a",)])

    def derive():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = LazyTuple(derive)
    with pytest.raises(EngineError, match="not now"):
        len(lazy)
    assert not lazy.derived
    assert lazy == ("a",)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda lazy: pickle.loads(pickle.dumps(lazy))], ids=["copy", "deep", "pickle"]
)
def test_its_copies_are_plain_tuples(copied):
    found = copied(LazyTuple(Source(("a", "b"))))
    assert type(found) is tuple
    assert found == ("a", "b")


def test_it_cannot_be_changed():
    lazy = LazyTuple(Source(("a",)))
    with pytest.raises(TypeError):
        lazy[0] = "b"
    with pytest.raises(AttributeError):
        lazy.other = 1


def test_json_takes_it_as_a_tuple():
    assert json.loads(json.dumps(tuple(LazyTuple(Source(("a", "b")))))) == ["a", "b"]


def test_numpy_draws_from_it_with_one_look_and_keeps_it_unread_in_an_array_of_objects():
    source = Source(tuple("abcdef"))
    infos = np.full(2, None, dtype=object)
    infos[0] = lazy = LazyTuple(source)
    assert infos[0] is lazy
    assert source.asked == 0
    drawn = [np.random.default_rng(seed).choice(lazy) for seed in range(5)]
    assert drawn == [np.random.default_rng(seed).choice(tuple("abcdef")) for seed in range(5)]
    assert source.asked == 1
