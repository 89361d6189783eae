"""Shared arguments of trainers, in groups that a program's own dataclass inherits.

A program lists its groups from the last to the first (dataclasses collect fields from the end of the
base classes), so that its help reads in the order of the flow: model, method, optimisation, output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from act_gym.config import Bound, Finite, NotNegative, Positive, PositiveFloat, Seed, Share
from agents.prompt_config import Question
from agents.prompt_sets import DEFAULT
from trainers.data.questions import Order

__all__ = [
    "FREE_SETTINGS",
    "BatchSettings",
    "DataInputs",
    "DecisionInputs",
    "EvalSettings",
    "ExperienceInputs",
    "GroupSettings",
    "GroupStageConfig",
    "JudgingInputs",
    "ModelSettings",
    "OptimisationSettings",
    "OutputSettings",
    "PairInputs",
    "Precision",
    "PromptSettings",
    "ReportTo",
    "Schedule",
    "StageConfig",
    "SupervisedSettings",
    "SupervisedStageConfig",
    "ZeroVariance",
]

Schedule = Literal["constant", "linear", "cosine"]
ZeroVariance = Literal["keep", "filter", "resample"]
Precision = Literal["auto", "fp32", "bf16", "mixed"]
ReportTo = Literal["none", "tensorboard", "wandb", "trackio"]


FREE_SETTINGS = frozenset(
    {
        *(
            "micro_batch",
            "max_tokens_per_pass",
            "gradient_checkpointing",
            "pack",
            "shared_prompt",
            "gather_for_generation",
        ),
        *("save_every", "log_every", "eval_every", "samples_every"),
        *("probe", "probe_groups", "max_malformed", "force"),
        *("vllm", "vllm_server", "vllm_timeout", "vllm_memory", "vllm_tensor_parallel", "vllm_sleep"),
    }
)
"""Settings of a training that may change when it resumes: memory, the generator of the replies, logging and saving, and
the checks before the first step."""


class DataInputs:
    """Base of the settings that name a stage's data."""

    def data_files(self) -> tuple[Path, ...]:
        """Return the files of records that the stage reads."""
        return ()


@dataclass(frozen=True, kw_only=True)
class PairInputs(DataInputs):
    """Training data of stages that compare two actions."""

    pairs: Path = Path("runs/pairs/pairs.jsonl")
    """Pairs of expert and alternative actions, from trainers.pairs."""

    def data_files(self) -> tuple[Path, ...]:
        """Return the file of pairs."""
        return (self.pairs,)


@dataclass(frozen=True, kw_only=True)
class JudgingInputs(PairInputs):
    """Pairs of actions to judge, and their order."""

    order: Order = "recorded"
    """Which action is shown first: as recorded with the pair (drawn once), drawn again from the seed, or
    each pair both ways."""


@dataclass(frozen=True, kw_only=True)
class DecisionInputs(DataInputs):
    """Expert decisions that the model learns to make."""

    decisions: Path = Path("runs/pairs/decisions.jsonl")
    """Expert decisions; a file of pairs is accepted as well."""

    def data_files(self) -> tuple[Path, ...]:
        """Return the file of decisions."""
        return (self.decisions,)


@dataclass(frozen=True, kw_only=True)
class ExperienceInputs(DataInputs):
    """Training data of Early Experience."""

    experience: Path = Path("runs/early-experience/experience.jsonl")
    """Actions that were carried out, from trainers.early_experience."""

    def data_files(self) -> tuple[Path, ...]:
        """Return the file of transitions."""
        return (self.experience,)


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """How a state is shown to a model."""

    history: Literal["conversation", "window"] = "conversation"
    """conversation: the episode as a growing chat, of which a long one loses its oldest turns. window: one message with
    the first observation, the recent turns and the present observation."""

    window: NotNegative = 3
    """With window: recent turns that are shown."""

    list_commands: NotNegative = 0
    """With window: admissible commands that are listed at most; 0 lists none."""

    max_characters: Positive = 1200
    """Each observation is cut to this length; the cut is marked."""

    prompts: str = DEFAULT
    """The prompt set, a name or a folder; see docs/agents.md."""

    max_prompt_tokens: NotNegative = 2048
    """A conversation with a longer prompt loses its oldest turns; a question that is still longer is left out, and
    counted; 0 keeps all."""

    def asking(self, *, thinking: bool = False) -> Question:
        """Return how a model is asked.

        Raises:
            UsageError: The settings do not fit together, or there is no such prompt set.
        """
        return Question(
            thinking=thinking,
            window=self.window,
            list_commands=self.list_commands,
            max_characters=self.max_characters,
            history=self.history,
            prompts=self.prompts,
        )


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model to train, and how it is held in memory."""

    model: str = "smollm2"
    """A folder with a model and its tokenizer, such as runs/warmup/checkpoint, or a name that
    agents.local.default_model knows."""

    precision: Precision = "auto"
    """fp32; mixed (fp32 weights, bf16 arithmetic); bf16 (bf16 weights: an update of 1e-5 is rounded away
    in 98 % of them); auto: mixed where the hardware has bf16, else fp32."""

    lora_rank: NotNegative = 0
    """Rank of LoRA adapters on every linear layer; 0 trains all weights. Adapters are merged into the
    checkpoint."""

    lora_alpha: Annotated[float, Bound(least=0)] = 0.0
    """LoRA's scale numerator; 0 takes twice the rank."""

    lora_dropout: Annotated[float, Bound(least=0, below=1)] = 0.0
    """Dropout inside the adapters."""

    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, about a third more time."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """The batch of a stage that learns from rows of data."""

    sequences_per_row: ClassVar[int] = 1

    batch: Positive = 16
    """Samples in one optimizer step: questions with their answers."""


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings(BatchSettings):
    """Maximum likelihood of answers: how samples become batches."""

    pack: bool = True
    """Put samples end to end into rows instead of padding them; none sees another."""


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """GRPO: groups of replies to one question, the reward, and the policy's loss."""

    thinking: bool = False
    """Ask the model to reason inside <think> before it answers."""

    max_completion_tokens: Positive = 24
    """Longest reply; with thinking it needs hundreds, e.g. 512."""

    num_generations: Annotated[int, Bound(least=2)] = 8
    """Replies in a group. Advantages are relative to the group's mean, so at least 2."""

    temperature: PositiveFloat = 1.0
    """Sampling temperature of the replies."""

    top_p: Annotated[float, Bound(above=0, most=1)] = 1.0
    """Nucleus of the sampling; 1 samples from the whole distribution."""

    reward_expert: Finite = 1.0
    """Reward of a reply that names the expert's action."""

    reward_valid: Finite = 0.1
    """Reward of a reply that names another valid action."""

    reward_other: Finite = 0.0
    """Reward of a well-formed reply that names neither."""

    reward_malformed: Finite = -0.5
    """Reward of a malformed reply."""

    beta: Annotated[float, Bound(least=0)] = 0.0
    """Weight of the KL divergence from the model before this stage; 0 does without the second model."""

    epsilon: PositiveFloat = 0.2
    """Clipping range of the probability ratio."""

    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dapo"
    """How token losses are averaged (TRL's names). Only bnpo averages over a micro-batch, so that its loss follows
    micro_batch."""

    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Scope of the standard deviation that advantages are divided by; none does not divide them."""

    iterations: Positive = 1
    """Passes over each batch of replies; above 1 the later ones are off-policy and cost no sampling."""

    max_malformed: Share = 0.9
    """Stop before training if a larger share of sampled replies is malformed: every group would earn the
    same and GRPO would learn nothing."""

    force: bool = False
    """Train even if the malformed share is above max_malformed."""

    groups: Positive = 4
    """Questions in one optimizer step; with num_generations replies each."""

    zero_variance: ZeroVariance = "keep"
    """Zero-variance groups (all rewards equal) have no gradient. keep: count them where the loss is averaged, as
    TRL does. filter: leave them out there as well. resample: sample other questions in their place."""

    resample_rounds: NotNegative = 3
    """With resample: most rounds of sampling other questions for one batch; zero-variance groups that remain are
    left out."""

    probe_groups: NotNegative = 8
    """Questions that get a whole group of replies before training, to measure the initial share of zero-variance
    groups; 0 skips it."""

    shared_prompt: bool = True
    """Run a question through the model once for all its replies, not once for each: the same numbers to
    the last digits, several times faster. Off, or where the model's attention does not allow it, TRL's own
    pass is taken. micro_batch should be a multiple of num_generations."""

    max_tokens_per_pass: NotNegative = 0
    """Train and score a micro-batch in passes of at most so many tokens, a shared prompt counted once: the same
    gradients, and memory that does not follow the longest questions. So micro_batch may hold many groups, of which
    as many share a pass as fit. Sampling is not bounded. 0 runs it in one."""

    vllm: Literal["off", "colocate", "server"] = "off"
    """Generator of the replies: transformers (off), vLLM in the training processes (colocate), or a vLLM server at an
    address (server). docs/scale.md has the commands."""

    vllm_server: str = "http://127.0.0.1:8000"
    """With server: its address. It accepts weights from any client, so keep it off public networks."""

    vllm_timeout: PositiveFloat = 240.0
    """With server: seconds to wait until it is up."""

    vllm_memory: Annotated[float, Bound(above=0, below=1)] = 0.3
    """With colocate: vLLM's share of each GPU's memory."""

    vllm_tensor_parallel: Positive = 1
    """With colocate: processes that hold one copy of vLLM's weights together."""

    vllm_sleep: bool = False
    """With colocate: give the memory back during the training pass."""

    gather_for_generation: bool = True
    """Without vLLM under ZeRO-3: hold the weights whole on every GPU while replies are written. Off, they are
    gathered layer by layer for every token: it fits where nothing else does, and is far slower."""


@dataclass(frozen=True, kw_only=True)
class OptimisationSettings:
    """The optimizer, AdamW, and the length of the training."""

    epochs: PositiveFloat = 1.0
    """Passes over the questions."""

    steps: NotNegative = 0
    """Optimizer steps; 0 trains for `epochs`."""

    learning_rate: PositiveFloat = 1e-5
    """Peak learning rate."""

    schedule: Schedule = "linear"
    """How the learning rate falls after its warm-up; it is above 0 from the first step to the last."""

    lr_warmup: Annotated[float, Bound(least=0, below=1)] = 0.05
    """Share of the steps in which the learning rate rises to its peak."""

    weight_decay: Annotated[float, Bound(least=0)] = 0.0
    """AdamW's weight decay."""

    max_grad_norm: Annotated[float, Bound(least=0)] = 1.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""

    micro_batch: Positive = 8
    """Sequences in one forward and backward pass; smaller needs less memory and gives the same result."""

    seed: Seed = 0
    """Seeds the order of the questions and the sampling."""


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Evaluation during training: a fixed panel of games that the model plays as it is in memory."""

    eval_every: NotNegative = 0
    """Optimizer steps between two evaluations by play, and one after the last step; 0 for none. The panel's games are
    the same every time. The training itself is not changed. See evals.jsonl, and best/ for the best checkpoint on the
    panels that are not of an unseen split."""

    eval_env: tuple[str, ...] = ()
    """Environments of the panel; without any, the seen and unseen splits of the data's benchmark, of generated games
    where the data is of those or the official games were not downloaded."""

    eval_games: Positive = 8
    """Games of each environment, taken from its task types in turn."""

    eval_max_turns: NotNegative = 0
    """Step limit of a game; 0 for the benchmark's own."""

    eval_env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value."""

    eval_first: bool = False
    """Evaluate before the first step too."""

    samples_every: NotNegative = 100
    """Optimizer steps between two rounds of samples.jsonl: the greedy replies to four fixed questions of the data; 0
    for none. Under ZeRO-3 there are none."""


@dataclass(frozen=True, kw_only=True)
class OutputSettings(EvalSettings):
    """The run folder, and what the run logs, saves and checks."""

    out: Path = Path("runs/train")
    """The run folder."""

    log_every: Positive = 1
    """Optimizer steps between two lines of metrics.jsonl."""

    save_every: NotNegative = 50
    """Optimizer steps between two states that --resume can continue from, rounded up to a multiple of `iterations`; 0
    saves none."""

    probe: NotNegative = 16
    """Questions answered before training to measure the malformed share; 0 skips it, and the check."""

    report_to: ReportTo = "none"
    """Also report to one of these, under the run folder's name; its package must be installed (the extra tracking)."""

    limit: NotNegative = 0
    """Use only the first so many records, of whole episodes as many of each type of task; 0 uses all."""

    resume: bool = False
    """Continue the run in the folder."""

    dry_run: bool = False
    """Count the work and its cost, without weights and without a step; leave no files."""

    measure_steps: bool = False
    """Run three real steps on this machine, discard them, and print the cost of the whole training; leave no
    files."""


@dataclass(frozen=True, kw_only=True)
class StageConfig(OutputSettings, OptimisationSettings, ModelSettings):
    """Settings of every stage that trains on data: the model, the optimizer and the run folder.

    A stage names the groups again that its help shows between these, in front of `ModelSettings`.
    """


@dataclass(frozen=True, kw_only=True)
class SupervisedStageConfig(StageConfig, SupervisedSettings, BatchSettings, ModelSettings, PromptSettings):
    """Settings of a stage that learns answers to questions."""


@dataclass(frozen=True, kw_only=True)
class GroupStageConfig(StageConfig, GroupSettings, ModelSettings, PromptSettings):
    """Settings of a stage that trains with GRPO on questions."""

    @property
    def both_orders(self) -> bool:
        """Whether each pair is asked in both orders, next to each other in one batch."""
        return isinstance(self, JudgingInputs) and self.order == "both"
