import base64
import json
import zlib
from dataclasses import replace

import pytest

from act_gym.types import Turn
from agents.prompt_config import Question
from agents.prompt_replay import asked, hash_of
from benchmarks.html_report.archive import Archive
from benchmarks.html_report.document import data_block
from benchmarks.html_report.runs import load
from tests.benchmarks.html_report.written import HOSTILE, episode_of, hostile_turns, turns_of, write_next_action


def unpacked(archive: Archive) -> list[list[dict]]:
    return [json.loads(zlib.decompress(base64.b64decode(block))) for block in archive.blocks]


def test_every_row_of_the_index_points_to_its_episode():
    archive = Archive()
    run = archive.add_run("base", "x", "runs/x", 0)
    for number in range(40):
        archive.add_episode(run, episode_of(number, "x", turns=turns_of(f"go {number}", thought="long " * 4000)))
    index = archive.index()
    blocks = unpacked(archive)
    assert len(blocks) > 2
    for number, row in enumerate(index["episodes"]):
        block, place = row[-2:]
        assert blocks[block][place]["turns"][0]["do"] == f"go {number}"
        assert index["words"][row[1]] == "Cellar"


def test_what_is_carried_is_harmless_already():
    archive = Archive()
    archive.add_episode(
        archive.add_run(HOSTILE, HOSTILE, HOSTILE, 0), episode_of(0, "x", turns=hostile_turns(HOSTILE), text=HOSTILE)
    )
    carried = json.dumps([archive.index(), unpacked(archive)], ensure_ascii=False)
    assert not set("\x00\x1b\u202e\u2028\ud800") & set(carried)
    assert "[U+202E]" in carried


def test_long_texts_are_cut_and_of_many_commands_the_one_taken_is_kept():
    turn = Turn(
        observation="x" * 1_000_000, admissible_commands=tuple(f"go {n}" for n in range(5000)), action="go 4999"
    )
    archive = Archive()
    archive.add_episode(archive.add_run("base", "x", "runs/x", 0), episode_of(0, "x", turns=(turn,)))
    archive.index()
    ((episode,),) = unpacked(archive)
    assert episode["turns"][0]["see"].endswith("(900,000 more characters)")
    assert episode["turns"][0]["of"] == 5000
    assert len(episode["turns"][0]["can"]) == 201
    assert episode["turns"][0]["can"][-1] == "go 4999"


def test_a_data_block_cannot_be_ended_by_what_stands_in_it():
    block = data_block("x", {"a": "</script><!--<script>&"})
    assert block.count("<") == 2
    assert json.loads(block[block.index(">") + 1 : block.rindex("<")]) == {"a": "</script><!--<script>&"}


def test_what_was_asked_again_is_carried_too():
    record = {"benchmark": "Cellar", "split": "seen", "task_type": "lamp", "id": "x#1", "proposer": "random"}
    record |= {"expert_action": "a", "alternative": "b", "rationale": "Because of b.", "state": "You are in a cellar."}
    record |= {name: [{"outcome": "right", "action": "a"}] * 2 for name in ("answers", "injected")}
    archive = Archive()
    archive.add_pair(archive.add_run("base", "x", "runs/x", 0), record)
    archive.index()
    ((pair,),) = unpacked(archive)
    assert set(pair["asked"]) == {"answers", "injected"}
    assert pair["rationale"] == "Because of b."


def test_what_kind_of_answer_a_next_action_is_takes_one_word(tmp_path):
    run = load(write_next_action(tmp_path, "base", ["right", "alternative", "wrong", "inadmissible", "malformed"]))
    archive = Archive()
    archive.add_run("base", "x", "runs/x", 0)
    records, left_out = run.answers(5)
    for record in records:
        archive.add_next_action(0, record)
    index = archive.index()
    outcomes = [index["words"][row[7][0]] for row in index["actions"]]
    assert outcomes == ["right", "alternative", "wrong", "not admissible", "malformed"]
    assert left_out == 0
    ((question, *_),) = unpacked(archive)
    answer = {"outcome": "right", "action": "go north", "reply": "I shall go north.", "log_probability": -1.25}
    assert question["asked"] == {"answers": [answer], "suppressed": [answer], "injected": [answer]}
    assert run.answers(2)[1] == 3


@pytest.mark.parametrize("history", ["window", "conversation"])
def test_each_turn_carries_the_prompt_that_was_asked(history):
    question = Question(history=history)
    episode = episode_of(0, "x", turns=turns_of("go", "look", "light lamp"))
    prompts = [asked(episode, number, question).messages for number in range(3)]
    turns = [replace(turn, prompt_hash=hash_of(prompt)) for turn, prompt in zip(episode.turns, prompts, strict=True)]
    turns[1] = replace(turns[1], prompt_hash="0" * 16)
    archive = Archive()
    archive.add_episode(archive.add_run("base", "x", "runs/x", 0), replace(episode, turns=tuple(turns)), question)
    archive.index()
    ((carried,),) = unpacked(archive)
    shown: list[list[str]] = []
    for turn, prompt in zip(carried["turns"], prompts, strict=True):
        shown = shown[: turn["kept"]] + turn["asked"]
        assert shown == [[message["role"], message["content"]] for message in prompt]
    assert [turn.get("unsure", 0) for turn in carried["turns"]] == [0, 1, 0]
    if history == "conversation":
        assert [len(turn["asked"]) for turn in carried["turns"]] == [1, 2, 2], "no message is carried twice"
