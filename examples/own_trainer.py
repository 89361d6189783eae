# %% [markdown]
# # Bring your own trainer
#
# A trainer needs three things: tasks, episodes, and rewards. This one is REINFORCE in numpy, for a softmax over the admissible commands with ten weights.
# Replace the weights by your model and the update by your loop; [integrations](https://github.com/act-gym/act-gym/blob/main/docs/integrations.md) has TRL, OpenEnv and
# verifiers.

# %%
import re

import numpy as np

import act_gym

TRAIN, SEEN, UNSEEN = (f"act/WebShop-generated-{split}" for split in ("train", "seen", "unseen"))


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def features(view: act_gym.AgentInput, command: str, goal: set[str]) -> list[float]:
    """Return numbers that describe a command in a state."""
    own = words(command) - {"click", "search"}
    done = sum(turn.action == command for turn in view.history)
    product = bool(re.fullmatch(r"click\[[a-z0-9]{10}\]", command))
    late = len(view.history) / 15
    return [
        command.startswith("search"),
        product,
        command == "click[buy now]",
        command == "click[buy now]" and late,
        len(own & goal) / max(1, len(own)) * (not product),
        min(done, 2),
        command in ("click[back to search]", "click[< prev]", "click[next >]"),
        command in ("click[description]", "click[features]", "click[reviews]"),
        command.startswith("search") and late,
        product and late,
    ]


class Softmax:
    """An agent that draws commands from a softmax of their features; `greedy` takes the likeliest."""

    name = "softmax"
    cheap = True

    def __init__(self, weights: np.ndarray, greedy: bool) -> None:
        self.weights = weights
        self.greedy = greedy
        self.steps: dict[str, list[np.ndarray]] = {}  # for each task: gradients of the log-probabilities

    def act(self, views: list[act_gym.AgentInput]) -> list[act_gym.AgentAction]:
        """Choose a command for each state."""
        return [act_gym.AgentAction(action=self.choose(view)) for view in views]

    def choose(self, view: act_gym.AgentInput) -> str:
        """Choose a command, and keep its gradient."""
        goal = words(view.goal)
        table = np.array([features(view, command, goal) for command in view.admissible_commands], float)
        logits = table @ self.weights
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        rng = np.random.default_rng([view.seed, len(view.history), sum(map(ord, view.task.id))])
        chosen = int(chances.argmax() if self.greedy else rng.choice(len(chances), p=chances))
        self.steps.setdefault(view.task.id, []).append(table[chosen] - chances @ table)
        return view.admissible_commands[chosen].replace("<query>", re.split(r" with | and price", view.goal[8:])[0])


def measure(weights: np.ndarray, env_id: str) -> tuple[float, float]:
    """Return score and success of the greedy policy on forty tasks."""
    episodes = list(act_gym.play(env_id, Softmax(weights, greedy=True), act_gym.tasks(env_id)[:40]))
    return sum(one.score for one in episodes) / 40, sum(one.success for one in episodes) / 40


# %% [markdown]
# One step plays 16 training tasks, takes each return less the mean as advantage, and follows the gradient.

# %%
weights = np.zeros(10)
before = {env_id: measure(weights, env_id) for env_id in (SEEN, UNSEEN)}
tasks = act_gym.tasks(TRAIN)
for step in range(40):
    agent = Softmax(weights, greedy=False)
    batch = [tasks[(16 * step + k) % len(tasks)] for k in range(16)]
    episodes = list(act_gym.play(TRAIN, agent, batch, seed=step, keep_commands=False))
    returns = np.array([one.score for one in episodes])
    advantages = (returns - returns.mean()) / (returns.std() + 1e-6)
    for one, advantage in zip(episodes, advantages, strict=True):
        weights = weights + 0.05 * advantage * np.sum(agent.steps[one.task.id], axis=0)
    if step % 10 == 9:
        print(f"step {step + 1:>3}  score of the sampled episodes {returns.mean():.2f}")

# %%
print(f"{'split':<8} {'score before':>13} {'after':>6} {'success before':>15} {'after':>6}")
for name, env_id in (("seen", SEEN), ("unseen", UNSEEN)):
    (score, success), (later, solved) = before[env_id], measure(weights, env_id)
    print(f"{name:<8} {score:>13.2f} {later:>6.2f} {success:>15.2f} {solved:>6.2f}")
