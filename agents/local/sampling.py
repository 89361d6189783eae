"""Sampling loop: left-padded rows, one shared cache, one random generator per row.

`transformers.generate` draws all rows from one global generator, so a row's reply would depend on its neighbours. Here
every row has its own, on the CPU, so that a seed gives the same numbers on every device. One number per row is copied
to the model's device; softmax and cumulative sum run there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from agents.local.scheduler import Step
from agents.local.token_trie import Node, build

__all__ = ["Draft", "Sampler", "Writing", "left_padded", "reasoning_opening"]

_CPU_ROWS = 4  # rows drawn at once on a CPU: more do not fit its cache and take three times as long
_DRAFTED = 5  # tokens drafted before the first token is known; each costs logits in the pass that reads the prompt
_REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


class Sampler:
    """Samples replies token by token.

    Args:
        model: Any causal language model of transformers, in evaluation mode.
        tokenizer: The model's.
        max_new_tokens: Longest reply.
        temperature: 0 is greedy.
        stop: Stop string, ignored in unfinished reasoning.
    """

    def __init__(self, model: Any, tokenizer: Any, max_new_tokens: int, temperature: float, stop: str | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.stop = stop
        self.ends = _end_tokens(model, tokenizer)

    @torch.inference_mode()
    def run(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], begin: Sequence[str]) -> list[list[int]]:
        """Return each prompt's reply as tokens, the end-of-sequence token left out.

        Args:
            prompts: Tokens of each row, B rows.
            seeds: One per row.
            begin: The start of each row's reply that is in the prompt; it counts in the search for the stop string.
        """
        replies: list[list[int]] = [[] for _ in prompts]
        generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
        active = list(range(len(prompts)))  # the row of `replies` for each line of the batch
        finished: set[int] = set()
        tokens, mask = left_padded(prompts, self.tokenizer.pad_token_id, self.model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = None
        for _ in range(self.max_new_tokens):
            out = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            drawn = self._draw(out.logits[:, -1], [generators[row] for row in active])
            for row, token in zip(active, drawn, strict=True):
                if row not in finished and self._ends_with(replies[row], token, begin[row]):
                    finished.add(row)
            if len(finished) == len(prompts):
                break
            keep = [line for line, row in enumerate(active) if row not in finished]
            if len(keep) <= len(active) // 2:  # copying the cache pays once half of the lines are idle
                lines = torch.tensor(keep, device=tokens.device)
                cache.batch_select_indices(lines)
                mask, positions = mask[lines], positions[lines]
                active, drawn = [active[line] for line in keep], [drawn[line] for line in keep]
            tokens = torch.tensor(drawn, device=mask.device)[:, None]  # (B, 1)
            mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
            positions = positions[:, -1:] + 1
        return replies

    def _draw(self, logits: torch.Tensor, generators: Sequence[torch.Generator]) -> list[int]:
        """Draw one token per row by inverting the cumulative distribution at the row's number."""
        if self.temperature == 0:
            return [int(token) for token in logits.argmax(-1).tolist()]
        numbers = torch.cat([torch.rand(1, generator=one, dtype=torch.float64) for one in generators])
        rows = _CPU_ROWS if logits.device.type == "cpu" else len(numbers)
        drawn = [
            token
            for part, own in zip(torch.split(logits, rows), torch.split(numbers, rows), strict=True)
            for token in _inverted(part, own, self.temperature).tolist()
        ]
        return [int(token) for token in drawn]

    def log_probability(self, logits: torch.Tensor, token: int) -> float:
        """Return a token's log-probability under the sampling distribution; logits of shape (V,)."""
        return float((logits.float() / (self.temperature or 1.0)).log_softmax(-1)[token])

    def _ends_with(self, reply: list[int], token: int, begin: str) -> bool:
        """Append a token to the reply and return whether the reply ends with it."""
        if token in self.ends:
            return True
        reply.append(token)
        if self.stop is None:
            return False
        tail = self.tokenizer.decode(reply[-16:])
        if self.stop not in tail:  # cheap test first: the stop string is new, so it is at the end
            return False
        return self.stop in _REASONING.sub("", begin + self.tokenizer.decode(reply))


class Writing:
    """Reply being sampled, as work for a `Decoder`; gives the same tokens as `Sampler.run`.

    Args:
        sampler: The sampling settings.
        prompt: The tokens of the prompt.
        seed: Seed of the draws.
        begin: The start of the reply that is in the prompt; it counts in the search for the stop string.
        draft: Drafts of the reply. Several tokens are then run at once, and kept as far as they equal the drawn ones.
        scored: Whether `log_probabilities` are kept.

    Attributes:
        reply: The tokens so far, without the end token.
        drawn: The same with the end token.
        log_probabilities: With `scored`, those of each token in `drawn`, at the sampler's temperature.
    """

    def __init__(
        self,
        sampler: Sampler,
        prompt: Sequence[int],
        seed: int,
        begin: str = "",
        draft: Draft | None = None,
        *,
        scored: bool = False,
    ) -> None:
        self.reply: list[int] = []
        self.drawn: list[int] = []
        self.log_probabilities: list[float] = []
        self._scored = scored
        self.done = False
        self.rejected = 0
        self._sampler = sampler
        self._generator = torch.Generator().manual_seed(seed % 2**63)
        self._begin = begin
        self._draft = draft or Draft(())
        self._size = len(prompt)
        self._drafted = self._draft.next(_DRAFTED)
        self.prompt = [*prompt, *self._drafted]
        self.tail = 1 + len(self._drafted)

    def begin(self, logits: torch.Tensor) -> None:
        """Draw the first tokens; see `agents.local.scheduler.Work`."""
        self.take(logits)

    def step(self, budget: int) -> Step:
        """Return the token drawn last and the likely next ones."""
        self._drafted = self._draft.next(budget - 1)
        tokens = [self.reply[-1], *self._drafted]
        first = self._size + len(self.reply) - 1
        return Step(tokens, list(range(first, first + len(tokens))), keep=True)

    def take(self, logits: torch.Tensor) -> None:
        """Draw the next token after the one drawn last, and after each correct drafted token."""
        likeliest = logits.argmax(-1).tolist() if self._sampler.temperature == 0 else None
        for place in range(len(logits)):
            token = (
                likeliest[place] if likeliest else self._sampler._draw(logits[place : place + 1], [self._generator])[0]
            )
            self.drawn.append(token)
            if self._scored:
                self.log_probabilities.append(self._sampler.log_probability(logits[place], token))
            self.rejected = len(self._drafted) - place
            ended = self._sampler._ends_with(self.reply, token, self._begin)
            self.done = ended or len(self.reply) >= self._sampler.max_new_tokens
            self._draft.take(token)
            if self.done or place == len(self._drafted) or token != self._drafted[place]:
                return


class Draft:
    """Drafts a reply from several candidates, as far as they agree.

    Args:
        replies: Tokens of each candidate, e.g. of the admissible commands.
    """

    def __init__(self, replies: Sequence[Sequence[int]]) -> None:
        self._node: Node | None = build(replies)

    def take(self, token: int) -> None:
        """Advance by one token; drafts end once no candidate begins like the reply."""
        self._node = self._node.children.get(token) if self._node else None

    def next(self, most: int) -> list[int]:
        """Return the next tokens, `most` at most; if candidates differ, those of the largest group."""
        found: list[int] = []
        node = self._node
        while node is not None and node.children and len(found) < most:
            node = max(node.children.values(), key=lambda child: child.size)
            found.append(node.token)
        return found


def _inverted(logits: torch.Tensor, numbers: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the token at which each row's cumulative distribution exceeds the row's number.

    Shapes: logits (B, V), numbers and result (B,).
    """
    if logits.device.type == "mps":  # has no float64
        logits = logits.cpu()
    chances = logits.to(torch.float32, copy=True).div_(temperature).softmax(-1)
    sums = chances.double().cumsum_(-1)
    places = numbers.to(sums.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, places, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def reasoning_opening(tokenizer: Any, *, thinking: bool) -> str:
    """Return `<think>` if the chat template opens the reasoning in the prompt, so that a reply begins inside it.

    Args:
        tokenizer: With a chat template.
        thinking: Passed to chat templates that support it.
    """
    options = {"enable_thinking": thinking} if "enable_thinking" in tokenizer.chat_template else {}
    asked = [{"role": "user", "content": "?"}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True, **options)
    return "<think>" if text.rstrip().endswith("<think>") else ""


def left_padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask of rows padded on the left.

    Shapes: both (B, T), T the longest row; the mask is 1 on tokens and 0 on padding.
    """
    width = max(map(len, rows))
    tokens = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens, mask


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token that ends a reply: the tokenizer's and the model's own."""
    settings = model.generation_config
    listed = settings.eos_token_id if settings is not None else None
    ends = {tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])}
    return frozenset(end for end in ends if end is not None)
