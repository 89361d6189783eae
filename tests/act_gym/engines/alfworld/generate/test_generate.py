import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.game import compile_game
from act_gym.engines.alfworld.generate import SPLITS, generate, goal
from act_gym.engines.alfworld.generate.__main__ import main
from act_gym.engines.alfworld.textworld import TextWorldEngine
from act_gym.errors import UsageError
from act_gym.splits.alfworld import TASK_TYPES
from act_gym.types import Task

ROOT = Path(__file__).parents[5]
FROZEN = {
    ("train", 0): "80cb2b7d1b94f78e51a5baf79fa2399412110c491da9f03278d819b1bccd6f9a",
    ("train", 2999): "403248ac693c3cfc6b11f9fb4825bcfae1dc878847e86c77cdfe2a3d31de05d2",
    ("seen", 0): "a255b4301bab0c2d46229cc85e87d8cd1f978ecbba8e7258141a509c4873cc66",
    ("unseen", 0): "f098f5b854a4be64368ffdde033ca2dd99074e004d001ebadcc467713ed2951d",
    ("unseen", 1000000): "287a2d6a4a4126c13c3f120601b553ab61bacfccbac6059d4443b1dc8ce65272",
}


def digest(split, index):
    return hashlib.sha256(json.dumps(generate(split, index), sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize(("split", "index"), FROZEN)
def test_a_game_stays_the_same_for_ever(split, index):
    assert digest(split, index) == FROZEN[split, index]


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_a_game_is_the_same_in_every_process_and_imports_no_simulator(hash_seed):
    program = """
import hashlib, json, sys
from act_gym.engines.alfworld.generate import generate
for split, index in (("unseen", 7), ("train", 0), ("seen", 149)):
    print(hashlib.sha256(json.dumps(generate(split, index), sort_keys=True).encode()).hexdigest())
print(sorted({"alfworld", "textworld", "fast_downward", "torch"} & sys.modules.keys()))
"""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split("\n") == [digest("unseen", 7), digest("train", 0), digest("seen", 149), "[]", ""]


@given(st.sampled_from(SPLITS), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_the_walkthrough_solves_any_game_and_not_before_its_end(split, index):
    content = generate(split, index)
    assert list(content) == ["pddl_domain", "grammar", "pddl_problem", "solvable", "walkthrough"]
    assert content["solvable"] is True
    game = compile_game(json.loads(json.dumps(content)))
    assert game.intro.endswith(".")
    here = game.start
    for command in content["walkthrough"]:
        assert not here.won
        here = game.after(here, game.bindings(here)[command])
    assert here.won
    assert len(content["walkthrough"]) <= 14


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_upstream_plays_a_game_of_every_type_to_its_end(task_type, tmp_path):
    # Outside the kitchen they are smaller, and so quicker.
    index = next(
        index
        for index in range(400)
        if (wanted := goal("seen", index)).task_type == task_type
        and (wanted.room > 200 or task_type in ("pick_cool_then_place_in_recep", "pick_heat_then_place_in_recep"))
    )
    main(["--split", "seen", "--start", str(index), "--count", "1", "--out", str(tmp_path)])
    path = next(tmp_path.rglob(GAME_FILE))
    task = Task(
        id="own",
        benchmark="ALFWorld",
        split="seen",
        task_type=task_type,
        payload={"game": str(path.parent.relative_to(tmp_path))},
    )
    engine = TextWorldEngine(data=str(tmp_path))
    try:
        state = engine.reset(task)
        assert state.observation == compile_game(json.loads(path.read_text())).intro
        for command in engine.expert_commands():
            assert not state.success
            state = engine.step(command)
            assert state.action_valid
        assert state.success
    finally:
        engine.close()


def test_files_are_written_whole_and_never_over_others_unasked(tmp_path, capsys):
    arguments = ["--split", "unseen", "--start", "3", "--count", "2", "--out", str(tmp_path)]
    assert main(arguments) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == [tmp_path / "unseen" / goal("unseen", n).name / str(n) / GAME_FILE for n in (3, 4)]
    assert [json.loads(path.read_text(encoding="utf-8")) for path in printed] == [
        generate("unseen", 3),
        generate("unseen", 4),
    ]
    printed[1].write_text("mine")
    with pytest.raises(UsageError, match=r"is there already\. Write over it with --force"):
        main(arguments)
    assert printed[1].read_text() == "mine"
    assert main([*arguments, "--force"]) == 0
    assert json.loads(printed[1].read_text(encoding="utf-8")) == generate("unseen", 4)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(printed)


def test_a_folder_that_cannot_be_written_and_an_empty_range_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Cannot write .* Choose another --out"):
        main(["--count", "1", "--out", str(tmp_path / "file" / "below")])
    with pytest.raises(UsageError, match="Expected --start 0 and --count 1"):
        main(["--count", "0", "--out", str(tmp_path)])
