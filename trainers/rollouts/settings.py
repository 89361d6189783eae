"""Settings of environment RL, in groups that the program's dataclass inherits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from act_gym.config import Bound, NotNegative, Positive, PositiveFloat, Seed, Share
from act_gym.errors import UsageError
from agents.prompt_sets import DEFAULT
from trainers.run.config import Schedule

__all__ = ["Algorithm", "AlgorithmSettings", "Anchor", "LossMean", "PlaySettings", "UpdateSettings"]

Algorithm = Literal["grpo", "rloo", "gigpo", "hgpo", "branch"]
Anchor = Literal["text", "state", "text+history"]
LossMean = Literal["tokens", "turns", "episodes", "constant"]

_NotNegative = Annotated[float, Bound(least=0)]


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """Settings of play: environments, tasks, episodes and decoding."""

    env: tuple[str, ...] = ("act/ALFWorld-train",)
    """Environments whose tasks are played."""

    task_types: tuple[str, ...] = ()
    """Only tasks of these types; all if there are none."""

    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value."""

    groups: Positive = 16
    """Tasks in one step, with num_generations episodes each."""

    num_generations: Annotated[int, Bound(least=2)] = 8
    """Episodes of a task. Advantages are relative to them, so at least 2."""

    max_turns: Positive = 30
    """Decisions of an episode at most."""

    max_episode_tokens: Positive = 4096
    """Tokens of an episode's conversation at most; an episode that would need more is cut, and counted."""

    max_completion_tokens: NotNegative = 0
    """Longest reply in tokens; 0 for 32, or 512 with thinking."""

    decode: Literal["free", "ranked"] = "free"
    """free: the model writes its replies, which are trained token by token. ranked: one of the admissible commands is
    drawn by the exact probability that the model gives it among them, and the choice is trained as a whole. No reply is
    invalid then, and a decision takes as many branches through the model as there are commands."""

    temperature: PositiveFloat = 1.0
    """Sampling temperature of the replies; probabilities in the loss are at this temperature too."""

    thinking: bool = False
    """Ask the model to reason inside <think> before it answers. The conversation keeps no reasoning, so each reply is
    trained as a branch off the conversation that it was sampled in."""

    prompts: str = DEFAULT
    """The prompt set, a name or a folder; see docs/agents.md."""

    parallel_games: Positive = 32
    """Episodes at once: each has a simulator and a slot of the KV cache."""

    choose: Literal["uniform", "success"] = "uniform"
    """Which tasks are played. uniform: each once before any comes again. success: of these first those whose running
    success is within --success-range, so that fewer groups have zero variance; a task's running success begins with
    that of its type."""

    success_range: tuple[Share, Share] = (0.2, 0.8)
    """With choose=success: lowest and highest running success."""


@dataclass(frozen=True, kw_only=True)
class AlgorithmSettings:
    """Rewards, advantages and the loss."""

    algorithm: Algorithm = "grpo"
    """How advantages are estimated; docs/rollout.md has the formulas."""

    anchor: Literal["auto", "text", "state", "text+history"] = "auto"
    """With gigpo: which decisions are compared: those with the same observation (text), in the same state of the
    simulator (state), or with the same episode so far (text+history). auto is state."""

    gamma: Share = 0.95
    """With gigpo and hgpo: discount of the return from a decision on."""

    step_weight: _NotNegative = 1.0
    """With gigpo and branch: weight of the part that compares decisions from one state."""

    contexts: NotNegative = 0
    """With hgpo: the longest context, in observations, is one more than this; the paper's K, 2 there. It has to be
    given."""

    context_power: _NotNegative = 1.0
    """With hgpo: a context of k observations weighs k to this power."""

    continuations: NotNegative = 0
    """With branch: continuations that are played from each branch point. It has to be given."""

    branch_points: Positive = 1
    """With branch: episodes of a group that are branched, each at one turn, drawn from the seed and the step."""

    reward: Literal["success", "score", "gain"] = "success"
    """success: the last decision of a solved episode earns reward_scale. score: the last decision earns the final score
    times reward_scale. gain: each decision earns the score that it gained, times reward_scale."""

    reward_scale: PositiveFloat = 10.0
    """Reward of a success, or of a whole score."""

    invalid_penalty: _NotNegative = 0.1
    """Taken from the reward of an invalid reply, on its own turn only."""

    invalid: Literal["format", "inadmissible"] = "format"
    """Which replies are invalid: those without a readable action (format), or also those whose action the simulator
    does not accept (inadmissible)."""

    shaping: _NotNegative = 0.0
    """Weight of potential-based shaping: each decision also earns this much for each command that it brings the
    planner's way to the goal nearer. Privileged: the run's manifest says so. ALFWorld and WebShop have a planner."""

    scale_rewards: bool = True
    """Divide advantages by the standard deviation; off is Dr. GRPO."""

    loss_mean: LossMean = "tokens"
    """Over what the loss is averaged: all tokens; turns, each a mean over its tokens; episodes, each a mean over its
    tokens; or, as in Dr. GRPO, over episodes with a constant number of tokens (constant)."""

    epsilon: PositiveFloat = 0.2
    """Clipping range of the probability ratio, below 1."""

    epsilon_high: _NotNegative = 0.0
    """The same above 1; 0 takes epsilon. DAPO's clip-higher is 0.28."""

    beta: _NotNegative = 0.0
    """Weight of the KL divergence (k3) from the model before this stage; 0 does without the second model."""

    zero_variance: Literal["keep", "filter", "resample"] = "keep"
    """Groups all of whose advantages are 0. keep: they count where the loss is averaged. filter: they do not. resample:
    other tasks are played in their place (DAPO's dynamic sampling)."""

    resample_rounds: NotNegative = 2
    """With resample: how often other tasks are played for one step at most; the groups left are filtered."""

    mask_truncated: Literal["none", "tokens", "all"] = "none"
    """Which truncated episodes are not trained on: none, those cut by max_episode_tokens, or also those cut by
    max_turns. They count in their group's advantages all the same."""

    observation_weight: _NotNegative = 0.0
    """ECHO: weight of the cross-entropy of observation tokens, a world model inside RL."""

    imitate_weight: _NotNegative = 0.0
    """Self-imitation: weight of the loss on solved episodes of earlier steps, as in SPEAR."""

    imitate_age: Positive = 5
    """Self-imitation: steps for which an episode is kept."""

    imitate_ramp: Positive = 100
    """Self-imitation: steps over which its weight rises to the full one, as a cosine."""

    def check_algorithm(self) -> None:
        """Refuse an algorithm without its settings.

        Raises:
            UsageError: It lacks one, or one is given that another algorithm takes.
        """
        if self.algorithm == "hgpo" and not self.contexts:
            raise UsageError("--algorithm hgpo compares contexts and needs --contexts, e.g. --contexts 2.")
        if self.algorithm == "branch" and not self.continuations:
            raise UsageError("--algorithm branch continues episodes and needs --continuations, e.g. --continuations 4.")
        if self.anchor != "auto" and self.algorithm != "gigpo":
            raise UsageError(f"--anchor is a setting of --algorithm gigpo; got --algorithm {self.algorithm}.")


@dataclass(frozen=True, kw_only=True)
class UpdateSettings:
    """The optimizer, AdamW, and the length of the training."""

    steps: Positive = 100
    """Steps: each plays groups x num_generations episodes and then trains on them."""

    iterations: Positive = 1
    """Passes over the episodes of a step; above 1 the later ones are off-policy and cost no playing."""

    mini_batches: Positive = 1
    """Optimizer steps in one of these passes: the episodes are shuffled and split into so many."""

    learning_rate: PositiveFloat = 1e-6
    """Peak learning rate."""

    schedule: Schedule = "constant"
    """How the learning rate falls after its warm-up: constant, linear or cosine."""

    lr_warmup: Annotated[float, Bound(least=0, below=1)] = 0.0
    """Share of the steps in which the learning rate rises to its peak."""

    weight_decay: _NotNegative = 0.0
    """AdamW's weight decay."""

    max_grad_norm: _NotNegative = 1.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""

    max_tokens_per_pass: NotNegative = 4096
    """Tokens in one forward and backward pass, one episode may have more; bounds the memory and changes nothing else. 0
    runs all at once."""

    seed: Seed = 0
    """Seeds the order of the tasks, the sampling of the replies and the branch points."""
