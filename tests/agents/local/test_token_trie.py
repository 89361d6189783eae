import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agents.local.token_trie import Node, Search, build, group

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=40)


def step_cost(path: Sequence[int]) -> float:
    """A made-up model: the log-probability of a path's last token, different for every path."""
    return -0.05 - (hash(tuple(path)) % 997) / 300


def path_of(node: Node) -> list[int]:
    return [] if node.parent is None else [*path_of(node.parent), node.token]


def drive(search: Search, budget: int, subtree: int) -> None:
    for child in search.root.children.values():
        search.reach(child, step_cost(path_of(child)))
    while not search.done:
        for first, value in search.wanted(budget, subtree):
            members = group(first, subtree)
            totals = {id(first): value}
            for node in members:
                for child in node.children.values():
                    totals[id(child)] = totals[id(node)] + step_cost(path_of(child))
                    search.reach(child, totals[id(child)], run=child in members)


def expected(sequences: list[list[int]]) -> list[tuple[int, float]]:
    scores = {}
    for number, sequence in enumerate(sequences):
        total = sum(step_cost(sequence[: end + 1]) for end in range(len(sequence)))
        scores.setdefault(tuple(sequence), (number, total))
    return sorted(scores.values(), key=lambda entry: -entry[1])


@given(SEQUENCES, st.integers(1, 5), st.integers(1, 20), st.integers(1, 8))
def test_the_search_finds_what_scoring_everything_finds(
    sequences: list[list[int]], top: int, budget: int, subtree: int
) -> None:
    search = Search(build(sequences), top, 10_000)
    drive(search, budget, subtree)
    best = expected(sequences)[:top]
    assert search.exact
    assert len(search.found) == len(best)
    assert all(math.isclose(a, b) for (_, a), (_, b) in zip(search.found, best, strict=True))


@given(SEQUENCES, st.integers(0, 3))
def test_a_search_cut_short_still_names_a_command_with_its_true_value(sequences: list[list[int]], limit: int) -> None:
    search = Search(build(sequences), 1, limit)
    drive(search, 1, 1)
    ((number, value),) = search.found
    assert math.isclose(value, sum(step_cost(sequences[number][: end + 1]) for end in range(len(sequences[number]))))
    if search.exact:
        assert math.isclose(value, expected(sequences)[0][1])


@given(SEQUENCES, st.integers(1, 8))
def test_a_group_holds_parents_before_children_and_only_nodes_that_lead_on(
    sequences: list[list[int]], subtree: int
) -> None:
    for node in build(sequences).children.values():
        if node.children:
            members = group(node, subtree)
            assert all(member.children for member in members)
            assert all(member.parent in members[:place] for place, member in enumerate(members) if place)
