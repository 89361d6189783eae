"""The commands of one state as a tree of tokens, and the best-first search through it.

A command's log-probability is a sum of terms that are never positive, so it only falls on the way
from the root to a leaf. Whenever the likeliest open entry is a whole command, no other command can
still overtake it. This module does the bookkeeping and knows no model.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Node", "Search", "build", "group"]


@dataclass(slots=True, eq=False)
class Node:
    """One token on the way to one or more commands.

    Attributes:
        token: The token; −1 at the root.
        parent: The node before it; None at the root.
        depth: Tokens up to and including this one.
        command: Number of the command that ends here; −1 if none does.
        children: The nodes after it by token.
        size: Nodes with children in this subtree, itself included: what it costs to run it whole.
        slot: Where the node lies among the tokens run for its row; −1 until it is run.
    """

    token: int
    parent: Node | None
    depth: int
    command: int = -1
    children: dict[int, Node] = field(default_factory=dict)
    size: int = 0
    slot: int = -1


def build(sequences: Sequence[Sequence[int]]) -> Node:
    """Return the root of the tree that holds these token sequences; equal ones count once."""
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

    Whoever drives it runs the nodes that `wanted` names through a model and reports their
    successors' log-probabilities to `reach`.

    Args:
        root: The tree of commands.
        top: How many commands are looked for.
        limit: Nodes run at most, apart from those one greedy descent needs at the end.
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
        """Take in the log-probability of the tokens up to and including a node.

        Args:
            node: The node.
            log_probability: Of everything from the root to the node.
            run: The node has gone through the model already, so that its successors follow.
        """
        self._counter += 1
        if node.command >= 0:
            heapq.heappush(self._complete, (-log_probability, node.command))
        if node.children and not run:
            heapq.heappush(self._open, (-log_probability, self._counter, node))

    @property
    def done(self) -> bool:
        """Whether the likeliest commands are known, or as many as can be had within the limit."""
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
        """Take the next nodes to run, with the log-probability at the node each group starts from.

        Args:
            budget: Nodes to run at most; at least one group is taken whatever its size.
            subtree: A group is a node with everything below it if that is at most so many nodes,
                else the node and the only child's only child and so on.

        Returns:
            Groups' first nodes; `group` lists the rest.
        """
        taken: list[tuple[Node, float]] = []
        if self._diving:
            cost, _, node = self._open[0]
            self._open.clear()  # descend from the best open node and forget the others
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
