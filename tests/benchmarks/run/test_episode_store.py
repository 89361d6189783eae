import fcntl
from dataclasses import replace

import pytest

from act_gym import RunError, Task
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import locked
from act_gym.rollout import Job, unplayed
from benchmarks.run.episode_store import Journal

KEYS = [("act/Cellar-seen", f"cellar/{number}", seed) for seed in (0, 1) for number in range(3)]


def episode(key, *, success=False, stop="terminated"):
    env_id, task_id, seed = key
    task = Task(id=task_id, benchmark="Cellar", split="seen", task_type="dig")
    ended = unplayed(Job(env_id, task, seed), "x", stop, "no answer" if stop.endswith("error") else "")
    return replace(ended, success=success, score=float(success), raw_score=float(success))


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
    with locked(tmp_path, "playing"), (tmp_path / ".lock").open("r+") as file, pytest.raises(BlockingIOError):
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


def test_errors_are_tried_again_and_all_else_is_not(tmp_path):
    with Journal(tmp_path, KEYS) as journal:
        for key, stop in zip(KEYS, ("agent_error", "truncated", "env_error", *3 * ("terminated",)), strict=True):
            journal.add(episode(key, stop=stop))
        assert (len(journal.finish()), journal.errors) == (6, 2)
    (tmp_path / "summary.json").write_text("{}")
    before = (tmp_path / "episodes.jsonl").read_bytes()
    with Journal(tmp_path, KEYS, retry=True) as journal:
        assert (journal.retried, journal.finished) == (2, {KEYS[1], *KEYS[3:]})
        assert len(ids(tmp_path / "records.jsonl")) == 4  # nothing is ever in it twice
        assert not (tmp_path / "summary.json").exists()  # it counts what does not count any more
        journal.add(episode(KEYS[2], success=True))
        journal.add(episode(KEYS[0], stop="agent_error"))  # once more
        with pytest.raises(RunError, match="twice"):
            journal.add(episode(KEYS[0]))
        journal.finish()
    after = (tmp_path / "episodes.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 8
    assert ids(tmp_path / "records.jsonl") == [key[1:] for key in KEYS]
    with Journal(tmp_path, KEYS) as journal:
        assert (journal.retried, journal.errors) == (0, 1)
        assert [record["success"] for record in journal.records] == [False, False, True, False, False, False]


def test_an_error_never_takes_the_place_of_an_episode_that_was_played(tmp_path):
    with Journal(tmp_path, KEYS) as journal:
        journal.add(episode(KEYS[0]))
    with RecordWriter(tmp_path / "episodes.jsonl") as writer:
        writer.write(episode(KEYS[0], stop="env_error").to_json())
    with pytest.raises(RunError, match="twice"):
        Journal(tmp_path, KEYS, retry=True)
