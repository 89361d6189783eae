import json
import multiprocessing
import sqlite3

import pytest

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.store import STORE_FILE, GameStore, build_store
from act_gym.errors import CorruptDataError
from act_gym.types import Task

NAMES = [f"train/game{number}/trial" for number in range(4)]


@pytest.fixture
def games(small_game, tmp_path):
    """A folder of four small games: two alike, one with another goal, one that the native engine refuses."""
    problem = small_game["pddl_problem"]
    contents = [
        small_game | {"walkthrough": ["look"]},
        small_game | {"grammar": small_game["grammar"].replace("warm a glass", "warm every glass")},
        small_game | {"pddl_problem": problem.replace("(not (exists (?a - agent) (busy ?a)))", "(cold Glass_bar_2)")},
        small_game
        | {"pddl_domain": small_game["pddl_domain"].replace("(:constants", "(:derived (x) (y)) (:constants")},
    ]
    for name, content in zip(NAMES, contents, strict=True):
        path = tmp_path / name / GAME_FILE
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return tmp_path


def played(game):
    """What a short walk through a game shows."""
    position, said = game.start, [game.intro]
    for command in ("go to cupboard 1", "sweep", "take glass 1 from cupboard 1", "warm glass 1"):
        said += game.commands(position)
        binding = game.bindings(position)[command]
        position = game.after(position, binding)
        said.append(game.feedback(position, binding))
    return said, game.walkthrough


def test_a_stored_game_is_the_game_of_its_file(games):
    reported = []
    refused = build_store(games, [*NAMES, "train/absent/trial"], reported.append)
    assert list(refused) == NAMES[3:]
    assert ":derived" in refused[NAMES[3]]
    assert reported == NAMES
    store = GameStore.find(games)
    assert store is not None
    for name in NAMES[:3]:
        stored = store.read(name)
        (games / STORE_FILE).rename(games / "aside")
        engine = NativeEngine(data=str(games))
        engine.reset(Task(id=name, benchmark="ALFWorld", split="train", task_type="x", payload={"game": name}))
        (games / "aside").rename(games / STORE_FILE)
        assert stored is not None
        assert engine._game is not stored
        assert played(stored) == played(engine._game)
    assert store.read(NAMES[3]) is None
    assert store.read("train/absent/trial") is None


def test_a_game_whose_file_has_changed_is_not_taken_from_the_store(games, small_game):
    build_store(games, NAMES[:2])
    store = GameStore.find(games)
    assert store is not None
    assert "every glass" in store.read(NAMES[1]).intro
    changed = small_game["grammar"].replace("warm a glass", "leave the glasses alone, they are cold")
    (games / NAMES[1] / GAME_FILE).write_text(json.dumps(small_game | {"grammar": changed}))
    assert store.read(NAMES[1]) is None
    engine = NativeEngine(data=str(games))
    task = Task(id="x", benchmark="ALFWorld", split="train", task_type="x", payload={"game": NAMES[1]})
    assert "leave the glasses alone" in engine.reset(task).observation
    (games / NAMES[0] / GAME_FILE).unlink()
    assert store.read(NAMES[0]).walkthrough == ("look",), "the store alone is enough"


def test_a_damaged_store_names_itself_and_the_cure(games):
    build_store(games, NAMES[:1])
    path = games / STORE_FILE
    whole = path.read_bytes()
    for damaged in (b"no database", whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=r"games.sqlite.*--force"):
            (GameStore.find(games) or pytest.fail("found")).read(NAMES[0])
    path.write_bytes(whole)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE games SET content = ?", (b"rubbish",))
    with pytest.raises(CorruptDataError, match=r"games.sqlite.*--force"):
        GameStore.find(games).read(NAMES[0])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET version = 0")
    assert GameStore.find(games) is None, "a store of another version is passed over"


def _read_in_child(store, name, queue):
    queue.put(store.read(name).intro)


def test_a_forked_process_reads_with_a_connection_of_its_own(games):
    build_store(games, NAMES[:1])
    store = GameStore.find(games)
    before = store.read(NAMES[0]).intro
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, NAMES[0], queue))
    child.start()
    assert queue.get(timeout=30) == before
    child.join()
    assert store.read(NAMES[0]).intro == before


def test_a_store_that_cannot_be_finished_leaves_the_old_one(games, small_disk):
    build_store(games, NAMES[:1])
    before = (games / STORE_FILE).read_bytes()
    with small_disk(4_096), pytest.raises(OSError, match=STORE_FILE):
        build_store(games, NAMES[:3])
    assert (games / STORE_FILE).read_bytes() == before
    assert sorted(path.name for path in games.iterdir()) == [STORE_FILE, "train"]
