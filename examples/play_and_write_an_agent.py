# %% [markdown]
# # Play, and write an agent
#
# Every environment is a Gymnasium environment whose observations and actions are strings. No data, no Java, no torch.

# %%
import re

import gymnasium as gym

import act_gym

env = gym.make("act/WebShop-generated-seen")
observation, info = env.reset(options={"task_index": 0})
print(info["goal"])
print(info["admissible_commands"])

# %% [markdown]
# `search[<query>]` is a form: replace `<query>` by words. Any other string is a legal action too; the environment answers it.

# %%
for action in ("search[fruit juice]", "click[next >]", "make me a sandwich"):
    observation, reward, terminated, truncated, info = env.step(action)
    print(f"{action:<24} valid={info['action_valid']!s:<6} {observation[-60:]!r}")
env.close()

# %% [markdown]
# An agent has a name and chooses an action for what it sees: the goal, the observation, the history and the admissible commands.
# This one searches with the words of the goal, opens the first product, clicks every button whose words the goal has, and buys.


# %%
def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def choose(view: act_gym.AgentInput) -> str:
    """Return the next action of the shopper."""
    commands = view.admissible_commands
    if "search[<query>]" in commands and not view.history:
        wanted = re.split(r" with | and price", view.goal.removeprefix("Find me "))[0]
        return f"search[{wanted}]"
    done = {turn.action for turn in view.history}
    products = [command for command in commands if re.fullmatch(r"click\[[a-z0-9]{10}\]", command)]
    if products:
        return products[0]
    fitting = [
        command for command in commands if words(command) - {"click"} and words(command) - {"click"} <= words(view.goal)
    ]
    return next((command for command in fitting if command not in done), "click[buy now]")


shopper = act_gym.function_agent("shopper", choose)

# %% [markdown]
# `play` lets an agent play tasks and yields an `Episode` for each. The score is the share of the wishes that the product meets.

# %%
print(f"{'split':<8} {'n':>3} {'score':>6} {'success':>8} {'turns':>6}")
for split in ("seen", "unseen"):
    env_id = f"act/WebShop-generated-{split}"
    episodes = list(act_gym.play(env_id, shopper, act_gym.tasks(env_id)[:40]))
    score, success = (sum(getattr(one, name) for one in episodes) / len(episodes) for name in ("score", "success"))
    turns = sum(len(one.turns) for one in episodes) / len(episodes)
    print(f"{split:<8} {len(episodes):>3} {score:>6.2f} {success:>8.2f} {turns:>6.1f}")

# %% [markdown]
# Saved as `my_agents.py` with `shopper` in it, the command plays whole suites: `act-gym eval --agent my_agents:shopper --suite webshop-generated-seen`.
