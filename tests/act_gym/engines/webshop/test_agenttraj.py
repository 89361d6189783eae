import json

import pytest

from act_gym.engines.webshop.agenttraj import read_trajectories
from act_gym.engines.webshop.prices import Prices
from act_gym.errors import CorruptDataError

OPENING = "WebShop [SEP] Instruction: [SEP] Find me tea, and price lower than 40.00 dollars [SEP] Search"


def line(item="webshop_7", values=("rules", "Ok.", OPENING, "Thought:\nTea.\n\nAction:\nsearch[tea] ")):
    return json.dumps({"item_id": item, "conversations": [{"value": value} for value in values]})


def test_a_line_is_a_goal_and_what_was_seen_thought_and_done(tmp_path):
    file = tmp_path / "webshop.jsonl"
    file.write_text(line() + "\n")
    (found,) = read_trajectories(file)
    assert (found.item, found.goal, found.observations) == ("webshop_7", 7, (OPENING,))
    assert (found.thoughts, found.actions) == (("Tea.",), ("search[tea]",))
    assert found.price_upper == 40.0


def test_an_instruction_without_a_price_has_no_limit(tmp_path):
    file = tmp_path / "webshop.jsonl"
    file.write_text(line(values=("", "", "Find me tea", "Thought: x Action: search[tea]")) + "\n")
    (found,) = read_trajectories(file)
    assert found.price_upper == Prices.NO_LIMIT


@pytest.mark.parametrize(
    "wrong",
    [
        line(item="sciworld_7"),
        line(values=("rules", "Ok.")),
        line(values=("rules", "Ok.", OPENING)),
        line(values=("rules", "Ok.", OPENING, "search[tea]")),
        "{}",
    ],
)
def test_other_lines_are_named(tmp_path, wrong):
    file = tmp_path / "webshop.jsonl"
    file.write_text(f"{line()}\n{wrong}\n")
    with pytest.raises(CorruptDataError, match=r"line 2, is not a trajectory of WebShop"):
        list(read_trajectories(file))
