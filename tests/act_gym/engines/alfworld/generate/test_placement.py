import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.alfworld.generate.alfworld_data import rules
from act_gym.engines.alfworld.generate.goals import SPLITS, TOOLS, goal
from act_gym.engines.alfworld.generate.placement import furnish
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import NUMBERS, room
from act_gym.engines.alfworld.generate.solution import mangled, shown_names
from act_gym.engines.alfworld.object_names import display_names

GAMES = st.tuples(st.sampled_from(SPLITS), st.integers(0, 10**6))


def furnished(split, index):
    wanted = goal(split, index)
    return wanted, furnish(room(wanted.room), wanted, Draw(f"{split}/{index}"))


@given(GAMES)
def test_everything_is_where_it_may_be(game):
    wanted, things = furnished(*game)
    names = [thing.name for thing in things]
    assert names == sorted(set(names))
    assert {thing.type for thing in things} == set(room(wanted.room).types) & set(rules().objects)
    by_name = {thing.name: thing for thing in things}
    for thing in things:
        if thing.movable and thing.receptacle is not None:
            assert thing.type in rules().holds[thing.receptacle.type]
            assert thing.place == thing.receptacle.place
        if thing.inside:
            around = by_name[thing.inside]
            assert around.receptacle == thing.receptacle
            assert thing.type in rules().holds[around.type]
        if thing.cool:
            assert thing.receptacle is not None
            assert thing.receptacle.type == "Fridge"
            assert wanted.task_type != "pick_cool_then_place_in_recep"


@given(GAMES)
def test_enough_of_the_goals_objects_are_to_be_fetched_and_none_is_done(game):
    wanted, things = furnished(*game)
    mine = [thing for thing in things if thing.type == wanted.object]
    fetched = [one for one in mine if one.receptacle is not None and one.receptacle.type != wanted.receptacle]
    assert len(fetched) >= wanted.count
    if wanted.task_type in TOOLS:
        assert all(one.receptacle is None or one.receptacle.type != TOOLS[wanted.task_type][1] for one in mine)
    else:
        assert fetched == mine


@pytest.mark.parametrize("number", NUMBERS)
def test_a_room_keeps_its_furniture_and_its_lamps_stand_on_something(number):
    wanted = goal("train", 0)
    first, second = (furnish(room(number), wanted, Draw(key)) for key in "ab")
    fixed = [thing for thing in first if not thing.movable]
    assert fixed == [thing for thing in second if not thing.movable]
    assert all(thing.receptacle is not None for thing in fixed if thing.type == "DeskLamp")
    assert {thing.name for thing in first if thing.movable} != {thing.name for thing in second if thing.movable}


@given(GAMES)
def test_the_names_shown_are_those_of_the_engine(game):
    wanted, things = furnished(*game)
    names = [thing.name for thing in things] + [one.name for one in room(wanted.room).receptacles]
    shown = shown_names(names)
    assert len(set(shown.values())) == len(names)
    expected = display_names(mangled(name).lower() for name in names)
    assert {mangled(name).lower(): text for name, text in shown.items()} == dict(expected)


def test_a_lamp_is_on_a_receptacle_that_holds_one_in_real_games():
    # ALFWorld's 324 training games under a lamp: 119 side tables, 90 desks, 76 dressers, 36 shelves, 3 coffee tables.
    usual = {"SideTable", "Desk", "Dresser", "Shelf"}
    for number in NUMBERS:
        where = room(number)
        things = furnish(where, goal("train", 0), Draw("lamps"))
        lamps = [thing for thing in things if thing.type == "DeskLamp" and thing.receptacle]
        if usual & {receptacle.type for receptacle in where.receptacles}:
            assert {lamp.receptacle.type for lamp in lamps} <= usual, number
