"""Compiles game files.

Shared parts are compiled once per process and cached: domains by their text, logics by everything they depend on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from act_gym.engines.alfworld.compiler.domain import Logic, compile_logic, goal_shape
from act_gym.engines.alfworld.compiler.texts import constant_text
from act_gym.engines.alfworld.game import Game, check_problem, check_work
from act_gym.engines.alfworld.language.grammar import Grammar, parse_grammar
from act_gym.engines.alfworld.language.pddl import Condition, Domain, Problem, parse_domain, parse_problem

__all__ = ["GameSource", "compile_game", "logic_of", "parse_game"]


@dataclass(frozen=True, slots=True)
class GameSource:
    """Parsed game file, not yet compiled.

    Attributes:
        domain: Its domain.
        grammar: Its grammar.
        problem: Its problem.
        shape: Its goal, with a variable for every object in it.
        named: These objects.
        texts: The constant grammar rules, which differ between games of a kind.
        walkthrough: Commands that win it, if it has them.
    """

    domain: Domain
    grammar: Grammar
    problem: Problem
    shape: Condition
    named: tuple[str, ...]
    texts: Mapping[str, str]
    walkthrough: tuple[str, ...]

    @property
    def kind(self) -> Hashable:
        """Key of the games that share a logic."""
        rules = tuple((name, rules) for name, rules in sorted(self.grammar.rules.items()) if name not in self.texts)
        actions = tuple((name, text) for name, text in sorted(self.grammar.actions.items()))
        return id(self.domain), rules, actions, frozenset(self.texts), self.shape


_domain = lru_cache(maxsize=64)(parse_domain)
_logics: dict[Hashable, Logic] = {}

LOGICS_KEPT = 64
"""All real games need 6; a user's files that are each of another kind must not fill the memory."""


def parse_game(content: Mapping[str, Any]) -> GameSource:
    """Read what a game file holds.

    Args:
        content: Its `pddl_domain`, `grammar` and `pddl_problem`; `walkthrough` if it has one.

    Raises:
        CorruptDataError: It cannot be read.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    domain = _domain(content["pddl_domain"])
    grammar = parse_grammar(content["grammar"])
    problem = parse_problem(content["pddl_problem"], domain)
    shape, named = goal_shape(problem.goal)
    return GameSource(
        domain=domain,
        grammar=grammar,
        problem=problem,
        shape=shape,
        named=named,
        texts={name: text for name, rules in grammar.rules.items() if (text := constant_text(rules)) is not None},
        walkthrough=tuple(str(command) for command in content.get("walkthrough") or ()),
    )


def logic_of(source: GameSource) -> Logic:
    """Return the logic that plays a game; it is compiled for the first game of its kind.

    Raises:
        UnsupportedGameError: The game holds a construct that the native engine does not play.
    """
    kind = source.kind
    logic = _logics.get(kind)
    if logic is None:
        logic = compile_logic(source.domain, source.grammar, frozenset(source.texts), source.shape, source.problem)
        while len(_logics) >= LOGICS_KEPT:
            del _logics[next(iter(_logics))]
        _logics[kind] = logic  # it holds the domain, so that its id is not reused while the kind is cached
    check_problem(logic, source.problem)
    return logic


def compile_game(content: Mapping[str, Any]) -> Game:
    """Compile what a game file holds.

    Raises:
        CorruptDataError: It cannot be read.
        UnsupportedGameError: It holds a construct that the native engine does not play.
    """
    source = parse_game(content)
    problem = source.problem
    game = Game(logic_of(source), problem.objects, problem.facts, source.named, source.texts, source.walkthrough)
    check_work(game)
    return game
