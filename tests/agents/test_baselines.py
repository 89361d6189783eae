import sys
from collections import Counter
from subprocess import run

import pytest

import act_gym
from act_gym.agent import AgentInput, function_agent
from act_gym.errors import AgentError, EngineError
from act_gym.rollout import play
from agents.baselines import ExpertAgent, RandomAgent


def test_random_repeats_itself_for_the_same_seed_task_and_turn_in_any_batch(make_view) -> None:
    views = [make_view(seed=seed, task_id=f"scienceworld/boil/{task}") for seed in range(3) for task in range(3)]
    together = [choice.action for choice in RandomAgent().act(views)]
    assert together == [RandomAgent().act([view])[0].action for view in views]
    assert len(set(together)) > 1


def test_random_draws_every_admissible_command_about_equally_often(make_view) -> None:
    views = [make_view(seed=seed) for seed in range(2_000)]
    counts = Counter(choice.action for choice in RandomAgent().act(views))
    assert set(counts) == set(views[0].admissible_commands)
    assert all(400 < count < 600 for count in counts.values())


def test_random_looks_around_where_no_command_is_listed(make_view) -> None:
    assert RandomAgent().act([make_view(admissible_commands=())])[0].action == "look around"


def test_the_expert_follows_its_solution_and_looks_around_after_it(make_view) -> None:
    from act_gym.types import Turn

    views = [make_view(expert_commands=lambda: ("a", "b"), history=(Turn(observation=""),) * n) for n in range(3)]
    assert [choice.action for choice in ExpertAgent().act(views)] == ["a", "b", "look around"]


def test_the_expert_plans_from_where_something_else_was_done(make_view) -> None:
    from act_gym.types import Turn

    done = [("a",), ("a", "x"), ("a", "b"), ("x",)]
    views = [
        make_view(
            expert_commands=lambda: ("a", "b"),
            plan=lambda: ("c", "d"),
            history=tuple(Turn(observation="", action=action) for action in actions),
        )
        for actions in done
    ]
    assert [choice.action for choice in ExpertAgent().act(views)] == ["b", "c", "c", "c"]


def test_the_expert_wins_alfworld_after_any_beginning() -> None:
    wrong = RandomAgent()
    expert = ExpertAgent()

    def act(view: AgentInput) -> str:
        return (wrong if len(view.history) < 8 else expert).act([view])[0].action

    chosen = act_gym.tasks("act/ALFWorld-generated-unseen")[:6]
    episodes = list(play("act/ALFWorld-generated-unseen", function_agent("late expert", act), chosen))
    assert [episode.success for episode in episodes] == [True] * 6
    assert all(len(episode.turns) > 8 for episode in episodes)


def test_an_expert_without_a_solution_is_an_agent_error(make_view) -> None:
    def fail() -> tuple[str, ...]:
        raise EngineError("no path")

    with pytest.raises(AgentError, match="no path"):
        ExpertAgent().act([make_view(expert_commands=fail)])


def test_scripted_agents_and_the_catalogue_do_without_torch() -> None:
    code = (
        "import sys; from agents.registry import make_agent; make_agent('random'); make_agent('expert'); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_fills_a_blank_with_words_of_the_goal_in_their_order(make_view) -> None:
    goal = "Find me quick drying shorts with pockets"
    views = [make_view(seed=seed, goal=goal, admissible_commands=("search[<query>]",)) for seed in range(50)]
    actions = {choice.action for choice in RandomAgent().act(views)}
    assert len(actions) > 10
    for action in actions:
        words = action.removeprefix("search[").removesuffix("]").split()
        assert len(words) == 4
        assert words == [word for word in goal.split() if word in words]
