"""Token trie of the commands of one state, with best-first search.

A command's log-probability is a sum of terms that are never positive, so it only decreases from the root to a leaf.
When the likeliest open entry is a whole command, no other command can be likelier. This module does the bookkeeping and
needs no model.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Node", "Search", "build", "group"]


@dataclass(slots=True, eq=False)
class Node:
    """Node of the trie: one token of one or more commands.

    Attributes:
        token: The token; −1 at the root.
        parent: The previous node; None at the root.
        depth: Tokens up to and including this one.
        command: Number of the command that ends here; −1 if none does.
        children: The next nodes by token.
        size: The number of nodes with children in this subtree, itself included: the cost of running it.
        slot: Index of the node among the tokens run for its row; −1 until it is run.
    """

    token: int
    parent: Node | None
    depth: int
    command: int = -1
    children: dict[int, Node] = field(default_factory=dict)
    size: int = 0
    slot: int = -1


def build(sequences: Sequence[Sequence[int]]) -> Node:
    """Return the root of the trie of these token sequences; duplicates count once."""
    root = Node(-1, None, 0)
    for number, sequence in enumerate(sequences):
        node = root
        for token in sequence:
            following = node.children.get(token)
            if following is None:
                following = node.children[token] = Node(token, node, node.depth + 1)
            node = following
        if node.command < 0:
            node.command = number
    _measure(root)
    return root


def _measure(node: Node) -> int:
    for child in node.children.values():
        node.size += _measure(child)
    node.size += bool(node.children)
    return node.size


class Search:
    """Best-first search for the likeliest commands of one state.

    The caller runs the nodes from `wanted` through a model and passes their successors' log-probabilities to `reach`.

    Args:
        root: The trie of the commands.
        top: The number of commands to find.
        limit: The largest number of nodes run, apart from a final greedy descent.
    """

    def __init__(self, root: Node, top: int, limit: int) -> None:
        self.root = root
        self.top = top
        self.limit = limit
        self.found: list[tuple[int, float]] = []
        self.exact = True
        self.nodes = 0
        self._open: list[tuple[float, int, Node]] = []
        self._counter = 0
        self._complete: list[tuple[float, int]] = []
        self._diving = False

    def reach(self, node: Node, log_probability: float, *, run: bool = False) -> None:
        """Record the log-probability of the tokens up to and including a node.

        Args:
            node: The node.
            log_probability: The sum from the root to the node.
            run: Whether the node has been run already, so that its successors follow.
        """
        self._counter += 1
        if node.command >= 0:
            heapq.heappush(self._complete, (-log_probability, node.command))
        if node.children and not run:
            heapq.heappush(self._open, (-log_probability, self._counter, node))

    @property
    def done(self) -> bool:
        """Whether the likeliest commands are known, as far as the limit allows."""
        while self._complete and len(self.found) < self.top:
            if self._open and self._open[0][0] < self._complete[0][0] and not self._diving:
                break
            cost, command = heapq.heappop(self._complete)
            self.found.append((command, -cost))
        if len(self.found) >= self.top or not self._open:
            return True
        if self.nodes >= self.limit and not self._diving:
            self.exact = False
            self._diving = True
            return self.done
        return self._diving and bool(self.found)

    def wanted(self, budget: int, subtree: int) -> list[tuple[Node, float]]:
        """Take the next nodes to run, with the log-probability at the first node of each group.

        Args:
            budget: The largest number of nodes; at least one group is taken whatever its size.
            subtree: A group is a node with its subtree if that has at most so many nodes, else the node and its chain
                of only children.

        Returns:
            The first node of each group; `group` lists the rest.
        """
        taken: list[tuple[Node, float]] = []
        if self._diving:
            cost, _, node = self._open[0]
            self._open.clear()  # descend from the best open node and drop the others
            taken = [(node, -cost)]
            self.nodes += len(group(node, subtree))
            return taken
        room = budget
        while self._open and (room > 0 or not taken):
            cost, _, node = self._open[0]
            needed = len(group(node, subtree))
            if taken and needed > room:
                break
            heapq.heappop(self._open)
            room -= needed
            self.nodes += needed
            taken.append((node, -cost))
        return taken


def group(node: Node, subtree: int) -> list[Node]:
    """Return the nodes run together with a node, parents before children; all have children."""
    if node.size <= subtree:
        listed = [node]
        for member in listed:
            listed.extend(child for child in member.children.values() if child.children)
        return listed
    listed = [node]
    while len(listed[-1].children) == 1:
        (child,) = listed[-1].children.values()
        if not child.children:
            break
        listed.append(child)
    return listed
