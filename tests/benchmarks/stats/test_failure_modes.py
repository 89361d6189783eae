import gymnasium as gym
import numpy as np
import pytest

from act_gym import Episode, Task, Turn, play
from act_gym.io.jsonl import read_records
from agents.baselines import ExpertAgent
from benchmarks.evaluate import main as evaluate
from benchmarks.rescore import main as rescore
from benchmarks.show import main as show
from benchmarks.stats.failure_modes import modes, pass_at_k, plan_modes
from benchmarks.stats.measurement import Summary
from benchmarks.stats.scores import flat_record, measure

SEEN = "act/ALFWorld-generated-seen"


def episode(*turns: Turn, final: str = "end", stop: str = "truncated", **more) -> Episode:
    task = Task(id="cellar/1", benchmark="Cellar", split="seen", task_type="dig")
    values = {"env_id": "act/Cellar-seen", "agent": "x", "seed": 0, "goal": "", "success": False, **more}
    return Episode(task=task, turns=turns, final_observation=final, score=0.0, raw_score=0.0, stop=stop, **values)


def test_each_lost_turn_is_counted_by_its_way():
    turns = [
        Turn(observation="a", action="look", score=0.0),  # shows b
        Turn(observation="b", action="wait", score=0.0),  # shows b again: no effect
        Turn(observation="b", action="wait", score=0.0),  # the same under the same text: a loop; shows a
        Turn(observation="a", action="look", score=0.0),  # a loop of two states
        Turn(observation="c", action="", action_valid=False, response="hm"),
        Turn(observation="c", action="fly", action_valid=False),
        Turn(observation="c", action="wave", score=0.5),  # shows c again, but the score grew
    ]
    found = modes(episode(*turns, final="c"))
    assert found == {"unparsable": 1, "inadmissible": 1, "no_effect": 1, "repeated": 2}


def test_a_purchase_shows_the_parts_of_its_reward():
    bought = {"reward_info": {"r_type": 1.0, "r_att": 0.5, "r_price": True, "w_att": 0.3}}
    found = modes(episode(stop="terminated", details=bought))
    assert {name: found[name] for name in found if name.startswith("reward")} == {
        "reward_type": 1.0,
        "reward_attributes": 0.5,
        "reward_price": 1.0,
    }


def test_pass_at_k_is_the_share_of_draws_with_a_success():
    # 1 of 3 solved: 2 of the 3 pairs have it. 0 of 3: none. 3 of 3: all.
    outcomes = [[True, False, False], [False] * 3, [True] * 3]
    assert pass_at_k(outcomes, 1) == pytest.approx(4 / 9)
    assert pass_at_k(outcomes, 2) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert pass_at_k(outcomes, 3) == pytest.approx(2 / 3)


def test_pass_at_k_is_measured_over_seeds_only():
    one = flat_record(episode())
    both = [one, {**one, "seed": 1, "success": True}]
    found = {each.name: each.value for each in measure(both, np.random.default_rng(0))}
    assert (found["success"], found["pass@2"], found["truncated"]) == (0.5, 1.0, 1.0)
    assert "pass@2" not in {each.name for each in measure([one], np.random.default_rng(0))}


@pytest.fixture
def env():
    made = gym.make(SEEN, max_episode_steps=-1, disable_env_checker=True)
    yield made.unwrapped
    made.close()


def test_an_expert_never_leaves_the_plan_and_a_detour_does(env):
    task = env.tasks[0]
    (solved,) = play(SEEN, ExpertAgent(), [task])
    assert plan_modes(solved, env) == {"off_plan": 0, "dead_end": False}
    first, plan = solved.turns[0].action, solved.turns

    def detour(actions):
        observation, _ = env.reset(options={"task_id": task.id})
        turns = []
        for action in actions:
            after, *_ = env.step(action)
            turns.append(Turn(observation=observation, action=action))
            observation = after
        return Episode.from_json({**solved.to_json(), "turns": [turn.to_json() for turn in turns]})

    assert plan_modes(detour([first, "inventory", *(turn.action for turn in plan[1:3])]), env)["off_plan"] == 2


def test_rescoring_a_run_gives_the_same_and_adds_the_plan(tmp_path, capsys):
    out = tmp_path / "run"
    evaluate(
        ["--env", SEEN, "--limit", "2", "--max-turns", "6", "--workers", "1", "--seeds", "0", "1", "--out", str(out)]
    )
    before, records = Summary.read(out), list(read_records(out / "records.jsonl"))
    (out / "records.jsonl").unlink()
    rescore([str(out)])
    assert Summary.read(out) == before
    assert list(read_records(out / "records.jsonl")) == records
    capsys.readouterr()
    rescore([str(out), "--replay"])
    shown = capsys.readouterr().out
    again = list(read_records(out / "records.jsonl"))
    assert all(line["dead_end"] is False and 0 <= line["off_plan"] <= 6 for line in again)
    assert "of turns: " in shown
    assert "pass@2" in shown
    show([str(out), "--tasks"])
    assert capsys.readouterr().out.count(" of 2  act/ALFWorld") == 2
