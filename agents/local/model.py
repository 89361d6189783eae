"""Batched language model: generate, score and rank.

It handles chat messages and tokens, not environments. Every method takes a batch. Rows are padded on the left, and a
row's result does not depend on the other rows, except for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.errors import MissingDependencyError, UnknownNameError, UsageError
from agents.local import default_model
from agents.prompts import Message

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

    from agents.conversation import opening_of, with_turns
    from agents.local.constrained_decoding import search
    from agents.local.logging import quiet_loading
    from agents.local.model_support import group_heads, has_cache, keeps_states
    from agents.local.sampling import Draft, Sampler, Writing, reasoning_opening
except ImportError as cause:
    raise MissingDependencyError(f"A package that local models need ({cause.name})", "local") from cause

__all__ = ["Completion", "Policy", "cpu_has_bf16"]

# largest number of tokens in one forward pass, padded prompts included: bounds memory at no cost in time
_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Completion:
    """Generated reply.

    Attributes:
        text: The reply without special tokens; it starts with the prefill, if any. If the chat template opens the
            reasoning, `<think>` is prepended, so that unfinished reasoning can be recognised.
        prompt_tokens: The length of the prompt, prefill included.
        completion_tokens: The number of generated tokens.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int


class Policy:
    """Causal language model with its tokenizer and chat template.

    Args:
        model: In evaluation mode, on its device.
        tokenizer: With a chat template.
        name: Its name in results.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, name: str) -> None:
        self.model = model
        self.model.train(False)
        if not has_cache(model):
            raise UsageError(f"{name} ({type(model).__name__}) has no past_key_values, which agents need for decoding.")
        self.tokenizer = tokenizer
        self.name = name
        self.tools: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def load(
        cls, model: str = "smollm2", *, device: str = "auto", dtype: str = "auto", adapter: str | None = None
    ) -> Policy:
        """Load a model for inference.

        Args:
            model: `smollm2`, a folder, or an id of the Hugging Face hub.
            device: `auto` (a GPU if there is one) or a torch device such as `cuda:1`.
            dtype: `float32`, `bfloat16`, `float16`, or `auto`: bfloat16 on a GPU and on a CPU with native support, else
                float32 (docs/design/agents.md has the measurement).
            adapter: A PEFT adapter's folder, merged into the weights.

        Raises:
            UsageError: The model, device or dtype does not exist, or the model has no chat template.
            MissingDependencyError: A package that the model needs is not installed.
        """
        path = default_model.model_path(model)
        place = _device(device)
        number = _dtype(dtype, place)
        group_heads(place.type)
        with quiet_loading():
            try:
                network: Any = AutoModelForCausalLM.from_pretrained(path, dtype=number)
                if adapter is not None:
                    network = _adapted(network, adapter)
                tokenizer = AutoTokenizer.from_pretrained(path)
            except (OSError, ValueError) as cause:
                raise UsageError(
                    f"Cannot load the model {path}: {cause}\n"
                    "Expected smollm2, a folder with a model and its tokenizer, or an id of the Hugging Face hub."
                ) from cause
        if not tokenizer.chat_template:
            raise UsageError(f"The tokenizer of {path} has no chat template; use a model made for chat.")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(network.to(place), tokenizer, _name(model, adapter))

    @property
    def context(self) -> int:
        """Context length: the longest prompt with its reply, in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1_000_000)

    def offering(self, tools: Sequence[Mapping[str, Any]]) -> Policy:
        """Return the same model with tools, as JSON schemas, in every prompt.

        Raises:
            UsageError: The model's chat template does not support tools.
        """
        if "tools" not in self.tokenizer.chat_template:
            raise UsageError(
                f"The chat template of {self.name} does not support tools; use format=tags or format=react."
            )
        told = copy(self)
        told.tools = tuple(tools)
        return told

    def prompt_ids(self, messages: Sequence[Message], prefix: str = "", *, thinking: bool = False) -> list[int]:
        """Return the prompt tokens of a conversation, up to the start of the reply.

        Args:
            messages: The conversation; the model's reply is next. Turns after the opening are appended and never
                rendered again (`agents.conversation`), so a longer conversation begins with the same tokens.
            prefix: Prefill of the reply, tokenised separately.
            thinking: Passed to chat templates that support `enable_thinking`; ignored by others.
        """
        options: dict[str, Any] = {"tools": [dict(tool) for tool in self.tools]} if self.tools else {}
        if "enable_thinking" in self.tokenizer.chat_template:
            options["enable_thinking"] = thinking
        opening = opening_of(messages)
        text = self.tokenizer.apply_chat_template(opening, tokenize=False, add_generation_prompt=True, **options)
        row = with_turns(self, self.ids(text), messages[len(opening) :], thinking=thinking)
        return row + (self.ids(prefix) if prefix else [])

    def reasoned(self, reasoning: str) -> str:
        """Return the prefill with finished reasoning; use it with `thinking`.

        If the chat template opens the reasoning itself, the prefix begins inside it.
        """
        opening = "" if reasoning_opening(self.tokenizer, thinking=True) else "<think>"
        return f"{opening}{reasoning}</think>"

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text, nothing added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seeds: Sequence[int] = (),
        stop: str | None = "</action>",
        prefix: str | Sequence[str] = "",
        thinking: bool = False,
    ) -> list[Completion]:
        """Generate a reply for each prompt.

        Args:
            prompts: One conversation a row.
            max_new_tokens: The longest reply, without the prefill.
            temperature: Sampling temperature; 0 is greedy.
            seeds: One per row; the same seed and prompt give the same reply in any batch. By default, the index of the
                row.
            stop: Stop string, ignored in unfinished reasoning; the reply includes it.
            prefix: Prefill, for all rows or one per row; the reply starts with it.
            thinking: Passed to chat templates that support it.

        Raises:
            UsageError: The settings are out of range or a prompt does not fit the model.
        """
        if temperature < 0 or max_new_tokens < 1:
            raise UsageError(f"Expected temperature >= 0 and max_new_tokens >= 1; got {temperature}, {max_new_tokens}.")
        if seeds and len(seeds) != len(prompts):
            raise UsageError(f"Expected one seed a prompt; got {len(seeds)} for {len(prompts)}.")
        begun = _each(prefix, len(prompts))
        rows = [self.prompt_ids(*row, thinking=thinking) for row in zip(prompts, begun, strict=True)]
        opening = reasoning_opening(self.tokenizer, thinking=thinking)
        begun = [opening + text for text in begun]
        drawn = list(seeds) or list(range(len(rows)))
        sampler = Sampler(self.model, self.tokenizer, max_new_tokens, temperature, stop)
        done: dict[int, Completion] = {}
        for batch in self.batches(rows, extra=max_new_tokens):
            replies = sampler.run(
                [rows[row] for row in batch], [drawn[row] for row in batch], [begun[row] for row in batch]
            )
            for row, reply in zip(batch, replies, strict=True):
                text = begun[row] + self.tokenizer.decode(reply, skip_special_tokens=True)
                done[row] = Completion(text, len(rows[row]), len(reply))
        return [done[row] for row in range(len(rows))]

    def begin(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
        stop: str | None = "</action>",
        thinking: bool = False,
        likely: Sequence[str] = (),
    ) -> tuple[Writing, Callable[[], Completion]]:
        """Return one reply as work for a `Decoder`, and a function that returns the completion; see `generate`.

        `likely` replies serve as drafts: they save forward passes and change no reply.

        Raises:
            UsageError: The prompt does not fit the model.
        """
        row = self.prompt_ids(messages, thinking=thinking)
        list(self.batches([row], extra=max_new_tokens))  # checks the length
        begun = reasoning_opening(self.tokenizer, thinking=thinking)
        draft = Draft([self.ids(reply) for reply in likely])
        sampler = Sampler(self.model, self.tokenizer, max_new_tokens, temperature, stop)
        work = Writing(sampler, row, seed, begun, draft)

        def completion() -> Completion:
            text = begun + self.tokenizer.decode(work.reply, skip_special_tokens=True)
            return Completion(text, len(row), len(work.reply))

        return work, completion

    def log_probabilities(
        self,
        prompts: Sequence[Sequence[Message]],
        replies: Sequence[Sequence[str]],
        *,
        prefix: str | Sequence[str] = "",
        thinking: bool = False,
    ) -> list[list[float]]:
        """Return the log-probability of each reply after its prompt, summed over the reply's tokens.

        A prompt is read once; its replies share the KV cache. Each reply is tokenised as one string; no end-of-sequence
        token is added, so a reply should end in a closing tag.

        Args:
            prompts: One conversation a row.
            replies: The replies to score for each row.
            prefix: Prefill before every reply, for all rows or one per row.
            thinking: Passed to chat templates that support it.

        Returns:
            Natural logarithms, one list per row in the order of its replies.

        Raises:
            UsageError: A reply is empty, or a prompt does not fit the model.
        """
        scored = []
        for messages, texts, begun in zip(prompts, replies, _each(prefix, len(prompts)), strict=True):
            row = self.prompt_ids(messages, begun, thinking=thinking)
            scored.append(self.score(row, [self.ids(text) for text in texts]))
        return scored

    def rank(
        self,
        prompts: Sequence[Sequence[Message]],
        commands: Sequence[Sequence[str]],
        *,
        top: int = 1,
        prefix: str | Sequence[str] = "",
        thinking: bool = False,
    ) -> list[list[tuple[str, float]]]:
        """Return the likeliest commands of each prompt, scored as the reply `<action>command</action>`.

        See `agents.local.constrained_decoding.search`, which also returns whether the result is exact.

        Args:
            prompts: One conversation a row.
            commands: The candidates for each row; duplicates count once.
            top: The largest number of commands returned.
            prefix: Prefill, for all rows or one per row.
            thinking: Passed to chat templates that support it.

        Returns:
            Commands with their log-probabilities, likeliest first.

        Raises:
            UsageError: A row has no commands, or a prompt does not fit the model.
        """
        begun = _each(prefix, len(prompts))
        found = search(self, prompts, commands, top=top, prefixes=begun, thinking=thinking)
        return [list(ranking.best) for ranking in found]

    def batches(self, rows: Sequence[Sequence[int]], *, extra: int = 0) -> Iterator[list[int]]:
        """Split row numbers into batches of similar length that fit one forward pass.

        A model with recurrent states gets each row alone, because padding would change them.

        Raises:
            UsageError: A row, with `extra` tokens after it, is longer than the model's context.
        """
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        batch: list[int] = []
        for row in order:
            length = len(rows[row]) + extra
            if length > self.context:
                raise UsageError(f"A prompt and its reply need {length} tokens; {self.name} takes {self.context}.")
            if batch and (keeps_states(self.model) or (len(batch) + 1) * length > _BATCH_TOKENS):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    @torch.inference_mode()
    def score(self, prompt: Sequence[int], replies: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each reply after one prompt, all as tokens; see `log_probabilities`."""
        if not all(replies):
            raise UsageError("A reply to score is empty; expected text such as <action>look</action>.")
        list(self.batches([prompt], extra=max(map(len, replies), default=0)))  # checks the length
        device = self.model.device
        if keeps_states(self.model):
            return [self._score_whole(prompt, reply) for reply in replies]
        start = self.model(input_ids=torch.tensor([prompt], device=device), use_cache=True, logits_to_keep=1)
        first = start.logits[0, -1].float().log_softmax(-1)  # (V,)
        sums = [float(first[reply[0]]) for reply in replies]
        longest = [
            index for index in sorted(range(len(replies)), key=lambda i: len(replies[i])) if len(replies[index]) > 1
        ]
        step = max(1, _BATCH_TOKENS // (len(prompt) + 32))
        for begin in range(0, len(longest), step):
            part = longest[begin : begin + step]
            width = max(len(replies[index]) for index in part) - 1
            tokens = torch.zeros(len(part), width + 1, dtype=torch.long)
            for line, index in enumerate(part):
                tokens[line, : len(replies[index])] = torch.tensor(replies[index])
            tokens = tokens.to(device)
            cache = deepcopy(start.past_key_values)
            cache.batch_repeat_interleave(len(part))
            logits = self.model(input_ids=tokens[:, :-1], past_key_values=cache, use_cache=True).logits
            steps = logits.float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]  # (N, width)
            for line, index in enumerate(part):
                sums[index] += float(steps[line, : len(replies[index]) - 1].sum())
        return sums

    def _score_whole(self, prompt: Sequence[int], reply: Sequence[int]) -> float:
        """Score one reply by reading prompt and reply in one pass, without a cache."""
        tokens = torch.tensor([[*prompt, *reply]], device=self.model.device)
        logits = self.model(input_ids=tokens[:, :-1], use_cache=False, logits_to_keep=len(reply)).logits  # (1, N, V)
        steps = logits.float().log_softmax(-1).gather(-1, tokens[:, -len(reply) :, None])
        return float(steps.sum())


def _each(prefix: str | Sequence[str], count: int) -> list[str]:
    prefixes = [prefix] * count if isinstance(prefix, str) else list(prefix)
    if len(prefixes) != count:
        raise UsageError(f"Expected one prefix a prompt; got {len(prefixes)} for {count}.")
    return prefixes


def _device(name: str) -> torch.device:
    try:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)
    except RuntimeError as cause:
        raise UsageError(f"No device {name}. Expected auto, cpu, cuda or cuda:N.") from cause


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies in bfloat16 natively; if it is emulated, float32 is faster."""
    # ATEN_CPU_CAPABILITY may cap torch's kernels below the processor's, and some bfloat16 kernels are missing then.
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    private = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # the only way to ask
    return any(getattr(torch.cpu, name, bool)() for name in private)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        fast = device.type == "cuda" or (device.type == "cpu" and cpu_has_bf16())
        return torch.bfloat16 if fast else torch.float32
    if name not in known:
        raise UnknownNameError("dtype", name, ("auto", *known))
    return known[name]


def _adapted(network: Any, adapter: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError as cause:
        raise MissingDependencyError("peft", "train") from cause
    return PeftModel.from_pretrained(network, adapter).merge_and_unload()


def _name(model: str, adapter: str | None) -> str:
    """Return a model's name for results; for a checkpoint, with its run's name."""
    path = Path(model)
    name = default_model.NAME if model == "smollm2" else path.name
    if name.startswith("checkpoint"):
        name = f"{path.parent.name}/{name}"
    return name if adapter is None else f"{name}+{Path(adapter).name}"
