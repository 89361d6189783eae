import fcntl

import pytest

from act_gym import Episode, RunError, Task
from act_gym.records import read_records
from benchmarks.journal import Journal

KEYS = [("act/Cellar-seen", f"cellar/{number}", seed) for seed in (0, 1) for number in range(3)]


def episode(key, *, success=False):
    env_id, task_id, seed = key
    return Episode(
        task=Task(id=task_id, benchmark="Cellar", split="seen", task_type="dig"),
        env_id=env_id,
        agent="x",
        seed=seed,
        goal="",
        turns=(),
        final_observation="",
        success=success,
        score=float(success),
        raw_score=float(success),
        stop="terminated",
    )


def ids(path):
    return [(record["task_id"], record["seed"]) for record in read_records(path)]


def test_records_are_in_the_stated_order_whatever_ended_first(tmp_path):
    with Journal(tmp_path, KEYS) as journal:
        for key in KEYS[::-1]:
            journal.add(episode(key))
        records = journal.finish()
    assert ids(tmp_path / "records.jsonl") == [key[1:] for key in KEYS]
    assert records == list(read_records(tmp_path / "records.jsonl"))


def test_an_episode_twice_or_of_another_run_is_refused(tmp_path):
    with Journal(tmp_path, KEYS) as journal:
        journal.add(episode(KEYS[0]))
        with pytest.raises(RunError, match="twice"):
            journal.add(episode(KEYS[0]))
        with pytest.raises(RunError, match="not of this run"):
            journal.add(episode(("act/Cellar-seen", "cellar/9", 0)))
    assert len(list(read_records(tmp_path / "episodes.jsonl"))) == 1
    with pytest.raises(RunError, match="not of this run"):
        Journal(tmp_path, KEYS[1:])


def test_a_run_with_gaps_is_not_finished(tmp_path):
    with Journal(tmp_path, KEYS) as journal:
        journal.add(episode(KEYS[1]))
        with pytest.raises(RunError, match=r"5 of 6 episodes were not played, e\.g\. cellar/0 with seed 0.*--resume"):
            journal.finish()


def test_two_processes_never_play_into_one_folder_at_once(tmp_path):
    with Journal(tmp_path, KEYS), (tmp_path / ".lock").open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / ".lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("left", ["", '{"torn', None])
def test_records_follow_from_episodes_whatever_a_kill_left(tmp_path, left):
    with Journal(tmp_path, KEYS) as journal:
        for key in KEYS[3:0:-1]:
            journal.add(episode(key, success=True))
    path = tmp_path / "records.jsonl"
    if left is None:
        path.unlink()
    else:
        path.write_text(left)
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"task": {"id": "cellar/2"')  # as if killed while it wrote
    with Journal(tmp_path, KEYS) as journal:
        assert journal.finished == set(KEYS[1:4])
        assert ids(path) == [key[1:] for key in KEYS[1:4]]
        journal.add(episode(KEYS[0]))
    assert len(list(read_records(tmp_path / "episodes.jsonl"))) == 4
