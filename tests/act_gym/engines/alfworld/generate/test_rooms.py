from collections import Counter

import pytest

from act_gym.engines.alfworld.generate.rooms import NUMBERS, UNSEEN, Place, kind_of, name_at, place_for, room
from act_gym.splits import alfworld

ROOMS = [room(number) for number in NUMBERS]


def test_there_are_thirty_rooms_of_each_kind():
    assert Counter(kind_of(number) for number in NUMBERS) == {
        "kitchen": 30,
        "living room": 30,
        "bedroom": 30,
        "bathroom": 30,
    }


def test_the_unseen_rooms_are_those_that_no_real_training_game_plays_in():
    def rooms(split):
        return {int(task.id.split("/")[2].rpartition("-")[2]) for task in alfworld.tasks(split)}

    assert rooms("train") | rooms("seen") == set(NUMBERS) - UNSEEN
    assert rooms("unseen") <= UNSEEN


@pytest.mark.parametrize("where", ROOMS, ids=lambda where: str(where.number))
def test_every_type_of_receptacle_in_a_room_has_a_place_to_stand(where):
    names = [receptacle.name for receptacle in where.receptacles]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    present = {receptacle.type for receptacle in where.receptacles}
    assert {"GarbageCan"} <= present
    if kind_of(where.number) == "kitchen":
        assert {"Fridge", "Microwave", "SinkBasin", "StoveBurner", "CoffeeMachine", "Toaster"} <= present
    # Some listed points are a step off the floor as the package has it.
    near = {(x + i, z + j) for x, z in where.floor for i in range(-2, 3) for j in range(-2, 3)}
    assert {(one.place.x, one.place.z) for one in where.receptacles} <= near
    assert all(one.place.horizon % 15 == 0 and -30 <= one.place.horizon <= 60 for one in where.receptacles)


def test_only_what_the_package_can_open_has_a_door():
    types = {receptacle.type for where in ROOMS for receptacle in where.receptacles if receptacle.openable}
    assert types == {"Cabinet", "Drawer", "Fridge", "Microwave", "Safe"}


def test_a_receptacle_is_seen_at_the_angle_of_its_height():
    assert place_for((4, 0, 1), (2.0, 1.7, 0.0)) == Place(4, 0, 1, 0)
    assert place_for((4, 0, 1), (2.0, 0.7, 0.0)) == Place(4, 0, 1, 45)
    assert place_for((4, 0, 1), (2.0, 0.0, 0.0)).horizon == 60
    assert place_for((4, 0, 1), (1.1, 3.0, 0.0)).horizon == -30
    assert Place(4, -2, 1, 45).name == "loc|4|-2|1|45"


def test_a_name_holds_the_position_as_in_real_games():
    assert name_at("Mug", (1.84, 0.789, -1.15)) == "Mug|+01.84|+00.79|-01.15"
    assert name_at("Bed", (-0.001, -12.5, 0.0)) == "Bed|+00.00|-12.50|+00.00"


def test_a_layout_of_the_package_is_read_as_it_is():
    bedroom = room(301)
    desk = next(one for one in bedroom.receptacles if one.name == "Desk|+02.29|+00.01|-01.15")
    assert (desk.type, desk.position, desk.openable) == ("Desk", (2.29, 0.01, -1.15), False)
    # As in real games of the room.
    assert desk.place == Place(9, -2, 2, 60)
    basin = next(one for one in room(1).receptacles if one.type == "SinkBasin")
    assert basin.name == "Sink|-01.90|+00.97|-01.50|SinkBasin"
    assert Counter(one.type for one in room(1).receptacles)["StoveBurner"] == 4
