# %% [markdown]
# # Search with snapshots
#
# `snapshot()` keeps a state of an episode and `restore()` returns to it in microseconds (ScienceWorld replays the commands instead).
# So an agent can try actions and take them back. Here it opens several products of the first page, chooses their options, buys, reads the reward, and
# returns. That uses the simulator as a model: name it in what you publish.

# %%
import re
from time import perf_counter

import gymnasium as gym

import act_gym

env = gym.make("act/WebShop-generated-seen", max_episode_steps=-1)  # restore() does not set Gymnasium's own limit back
inner = env.unwrapped
assert isinstance(inner, act_gym.TextEnv)


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def finish(info: dict, goal: str) -> float:
    """Choose the options that the goal names, buy, and return the score."""
    for command in info["admissible_commands"]:
        if words(command) - {"click"} and words(command) - {"click"} <= words(goal):
            _, _, _, _, info = env.step(command)
    _, _, _, _, info = env.step("click[buy now]")
    return float(info["score"])


def search(task: int, breadth: int) -> tuple[float, int]:
    """Return the best score among the first `breadth` products of a task, and how many were tried."""
    _, info = env.reset(options={"task_index": task})
    goal = info["goal"]
    wanted = re.split(r" with | and price", goal.removeprefix("Find me "))[0]
    _, _, _, _, info = env.step(f"search[{wanted}]")
    products = [one for one in info["admissible_commands"] if re.fullmatch(r"click\[[a-z0-9]{10}\]", one)][:breadth]
    state, best = inner.snapshot(), 0.0
    for product in products:
        inner.restore(state)
        _, _, _, _, info = env.step(product)
        best = max(best, finish(info, goal))
    return best, len(products)


# %% [markdown]
# The more products are tried, the better the best one. The time is that of one task.

# %%
print(f"{'products tried':>14} {'score':>6} {'success':>8} {'ms a task':>10}")
for breadth in (1, 2, 4, 8):
    began = perf_counter()
    scores = [search(task, breadth)[0] for task in range(40)]
    spent = 1000 * (perf_counter() - began) / len(scores)
    solved = sum(score == 1 for score in scores) / len(scores)
    print(f"{breadth:>14} {sum(scores) / len(scores):>6.2f} {solved:>8.2f} {spent:>10.1f}")
env.close()
