import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.alfworld.generate.alfworld_data import rules
from act_gym.engines.alfworld.generate.goals import SPLITS, TOOLS, Goal, goal, held_out
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import UNSEEN, room
from act_gym.errors import UnknownNameError, UsageError

NUMBERS = st.integers(0, 10**12)


@given(st.sampled_from(SPLITS), NUMBERS)
def test_a_goal_can_be_reached_in_its_room(split, index):
    wanted = goal(split, index)
    where = room(wanted.room)
    assert wanted.object in where.types
    holders = {one.type for one in where.receptacles if wanted.object in rules().holds.get(one.type, ())}
    if wanted.is_light:
        assert wanted.receptacle == "DeskLamp"
        assert "DeskLamp" in where.types
        assert holders
    else:
        assert wanted.receptacle in holders
        assert holders - {wanted.receptacle, TOOLS.get(wanted.task_type, ("", ""))[1]}
    if wanted.task_type in TOOLS:
        ability, tool = TOOLS[wanted.task_type]
        assert wanted.object in rules().allows[ability]
        assert tool in {one.type for one in where.receptacles}
        assert tool != wanted.receptacle


@given(NUMBERS)
def test_unseen_games_share_neither_room_nor_goal_with_the_others(index):
    for split in SPLITS:
        wanted = goal(split, index)
        assert (wanted.room in UNSEEN) == (split == "unseen")
        assert held_out(wanted.task_type, wanted.object, wanted.receptacle) == (split == "unseen")


def test_a_goal_is_worded_and_written_as_the_package_does():
    wanted = Goal("pick_and_place_simple", "SoapBottle", "Toilet", 405)
    assert wanted.name == "pick_and_place_simple-SoapBottle-None-Toilet-405"
    sentences = {wanted.sentence(Draw(str(number))) for number in range(20)}
    assert sentences == {"put a soapbottle in toilet", "put some soapbottle on toilet"}
    assert "(objectType ?o SoapBottleType)" in wanted.formula
    assert "(receptacleType ?r ToiletType)" in wanted.formula
    assert not set("#{}") & set(wanted.formula)
    light = Goal("look_at_obj_in_light", "Pen", "DeskLamp", 301)
    assert "(objectType ?ot DeskLampType)" in light.formula
    assert {light.sentence(Draw(str(number))) for number in range(20)} == {
        "look at pen under the desklamp",
        "examine the pen with the desklamp",
    }


def test_what_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match=r"generated games sen\. Did you mean seen"):
        goal("sen", 0)
    with pytest.raises(UsageError, match=r"train/-1\. Expected a number from 0"):
        goal("train", -1)
