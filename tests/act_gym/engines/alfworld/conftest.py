"""A small game of our own words, in the older wording, with one of everything that the engine compiles."""

import pytest

DOMAIN = """
(define (domain parlour)
 (:requirements :adl :typing :action-costs)
 (:types agent place container thing kind)
 (:constants Glass - kind Lamp - kind)
 (:predicates
    (at ?a - agent ?p - place)
    (standsAt ?c - container ?p - place)
    (in ?t - thing ?c - container)
    (holds ?a - agent ?t - thing)
    (busy ?a - agent)
    (closable ?c - container)
    (open ?c - container)
    (isKind ?t - thing ?k - kind)
    (lit ?t - thing)
    (warm ?t - thing)
    (cold ?t - thing)
    (seen ?x - object)
 )
 (:functions (total-cost) - number (distance ?a ?b))
 (:action look :parameters (?a - agent ?p - place) :precondition (at ?a ?p) :effect (seen ?p))
 (:action inventory :parameters (?a - agent) :precondition () :effect (seen ?a))
 (:action walk
    :parameters (?a - agent ?from - place ?to - place ?c - container)
    :precondition (and (at ?a ?from) (standsAt ?c ?to))
    :effect (and (not (at ?a ?from)) (at ?a ?to) (increase (total-cost) 1)))
 (:action take
    :parameters (?a - agent ?p - place ?t - thing ?c - container)
    :precondition (and (at ?a ?p) (standsAt ?c ?p) (in ?t ?c) (not (busy ?a)) (imply (closable ?c) (open ?c)))
    :effect (and (not (in ?t ?c)) (holds ?a ?t) (busy ?a)))
 (:action put
    :parameters (?a - agent ?p - place ?t - thing ?c - container)
    :precondition (and (holds ?a ?t) (at ?a ?p) (standsAt ?c ?p) (or (not (closable ?c)) (open ?c)))
    :effect (and (in ?t ?c) (not (holds ?a ?t)) (not (busy ?a))))
 (:action unlatch
    :parameters (?a - agent ?p - place ?c - container)
    :precondition (and (at ?a ?p) (standsAt ?c ?p) (closable ?c) (not (open ?c)))
    :effect (open ?c))
 (:action latch
    :parameters (?a - agent ?p - place ?c - container)
    :precondition (and (at ?a ?p) (standsAt ?c ?p) (closable ?c) (open ?c))
    :effect (not (open ?c)))
 (:action switch
    :parameters (?a - agent ?p - place ?t - thing ?c - container)
    :precondition (and (isKind ?t Lamp) (at ?a ?p) (standsAt ?c ?p) (in ?t ?c))
    :effect (and (when (lit ?t) (not (lit ?t))) (when (not (lit ?t)) (lit ?t)) (seen ?t)))
 (:action warmup
    :parameters (?a - agent ?t - thing)
    :precondition (holds ?a ?t)
    :effect (and (warm ?t) (not (cold ?t))))
 (:action sweep
    :parameters (?a - agent ?p - place)
    :precondition (and (at ?a ?p) (forall (?t - thing) (not (holds ?a ?t))) (exists (?c - container) (standsAt ?c ?p)))
    :effect (and (forall (?c - container) (open ?c)) (seen ?a)))
 (:action inspect
    :parameters (?a - agent ?t - thing)
    :precondition (or (exists (?c - container ?p - place) (and (at ?a ?p) (standsAt ?c ?p) (in ?t ?c) (open ?c)))
                      (holds ?a ?t))
    :effect (seen ?t))
 (:action compare
    :parameters (?a - agent ?one - thing ?other - thing)
    :precondition (and (holds ?a ?one) (isKind ?other Glass) (not (= ?one ?other)))
    :effect (and (seen ?one) (seen ?other)))
)
"""

GRAMMAR = '''
grammar :: """
    {
        "intro": [ { "rhs": "A parlour.\\n\\n#look.feedback#\\n\\n#task#" } ],
        "task": [ { "rhs": "Your task is to: warm a glass and light the lamp." } ],
        "list_empty": [ { "rhs": "nothing at all" } ],
        "list_separator": [ { "rhs": ", " } ],
        "list_last_separator": [ { "rhs": " and " } ],
        "look.feedback": [
            { "condition": "at(a:agent, p:place) & standsat(c:container, p:place)",
              "rhs": "Before you: [{#some(c)# | at(a:agent, p:place) & standsat(c:container, p:place)}]. #gaps#" },
            { "rhs": "All around: [{#mention(c)# | standsat(c:container, p:place)}]." }
        ],
        "gaps": [
            { "condition": "not_in(t:thing, c:container) & at(a:agent, p:place) & standsat(c:container, p:place)",
              "rhs": "Gone from here: {t.name | standsat(c:container, p:place) & not_in(t:thing, c:container)}." },
            { "rhs": "Nothing was taken." }
        ],
        "some(c)": [ { "rhs": "{c.indefinite + ' ' + c.name}" } ],
        "mention(c)": [
            { "condition": "closable(c:container) & open(c:container)", "rhs": "{c.definite} open {c.name or c.id}" },
            { "condition": "closable(c:container)", "rhs": "{c.definite} closed {c.name}" },
            { "rhs": "{c.definite} {c.name}" }
        ],
        "inside": [
            { "condition": "closable(c:container) & not_open(c:container)", "rhs": "It was closed by hand." },
            { "rhs": "In it: [{t.indefinite + ' ' + t.name | in(t:thing, c:container)}]." }
        ],
        "state": [
            { "condition": "warm(t:thing) & lit(t:thing)", "rhs": "It is warm and lit." },
            { "condition": "warm(t:thing)", "rhs": "It is warm." },
            { "condition": "lit(t:thing)", "rhs": "It is lit." },
            { "condition": "not_lit(t:thing)", "rhs": "It went out." },
            { "rhs": "It is a {t.name}, a {t.type} of the house ({t.id})." }
        ]
    }
""";

action look { template :: "look"; feedback :: "#look.feedback#"; }
action inventory {
    template :: "inventory";
    feedback :: "#hands#";
    grammar :: """
        { "hands": [
            { "condition": "holds(a:agent, t:thing)", "rhs": "You hold [{t.name | holds(a:agent, t:thing)}]." },
            { "rhs": "You hold nothing." } ] }
    """;
}
action walk {
    template :: "go to [{c.name | standsat(c:container, to:place)}]";
    feedback :: "You walk to {c.name}. #inside#";
}
action take { template :: "take {t} from {c}"; feedback :: "You take {t.name} from {c.name}."; }
action put { template :: "put {t} in/on {c}"; feedback :: "You put the {t.name} in/on the {c.name}. #inside#"; }
action unlatch { template :: "open {c}"; feedback :: "You open {c.name}. #inside#"; }
action latch { template :: "close {c}"; feedback :: "You close {c.name}. #inside#"; }
action switch { template :: "use {t}"; feedback :: "Click. #state#"; }
action warmup { template :: "warm {t}"; feedback :: "You rub {t.name}. #state#"; }
action sweep {
    template :: "sweep";
    feedback :: "\nDoors fly open: [{#mention(c)# | standsat(c:container, p:place)}]\n";
}
action inspect { template :: "examine {t}"; feedback :: "#state#"; }
action compare { template :: "compare {one} with {other}"; feedback :: "{one.name} is not {other.name}."; }
'''

PROBLEM = """
(define (problem tea)
 (:domain parlour)
 (:objects
    agent1 - agent
    loc_bar_1 loc_bar_2 loc_bar_0 - place
    Cupboard_bar_1 Cupboard_bar_2 Table_bar__plus_01_dot_5 Sink_bar_1_bar_SinkBasin - container
    Glass_bar_1 Glass_bar_2 Lamp_bar_1 Spoon_bar_1 - thing
 )
 (:init
    (= (total-cost) 0)
    (= (distance loc_bar_1 loc_bar_2) 3)
    (at agent1 loc_bar_0)
    (standsAt Cupboard_bar_1 loc_bar_1) (standsAt Cupboard_bar_2 loc_bar_1)
    (standsAt Table_bar__plus_01_dot_5 loc_bar_2) (standsAt Sink_bar_1_bar_SinkBasin loc_bar_2)
    (closable Cupboard_bar_1) (closable Cupboard_bar_2) (open Cupboard_bar_2)
    (in Glass_bar_1 Cupboard_bar_1) (in Glass_bar_2 Cupboard_bar_2)
    (in Lamp_bar_1 Table_bar__plus_01_dot_5)
    (in Spoon_bar_1 Sink_bar_1_bar_SinkBasin) (in Spoon_bar_1 Table_bar__plus_01_dot_5)
    (isKind Glass_bar_1 Glass) (isKind Glass_bar_2 Glass) (isKind Lamp_bar_1 Lamp)
    (cold Glass_bar_1)
 )
 (:goal (and
    (exists (?t - thing ?c - container)
        (and (isKind ?t Glass) (warm ?t) (in ?t ?c) (standsAt ?c loc_bar_2)))
    (forall (?t - thing) (or (not (isKind ?t Lamp)) (lit ?t)))
    (not (exists (?a - agent) (busy ?a)))))
)
"""


@pytest.fixture
def small_game():
    """What a `.tw-pddl` file of the small game holds."""
    return {"pddl_domain": DOMAIN, "grammar": GRAMMAR, "pddl_problem": PROBLEM}
