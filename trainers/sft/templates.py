"""How a chat template ends a turn, and whether a model can be taught answers with it.

The supervised loss covers an answer and the token that ends its turn. Which token that is, is the
template's affair: a model that learns to end its turn with another one never stops where it is asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from act_gym.errors import UsageError

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["end_of_turn"]

_QUESTION, _ANSWER = "What is your next action?", "<action>look around</action>"


def end_of_turn(policy: Policy) -> int:
    """Return the token with which the chat template ends the model's turn.

    Raises:
        UsageError: The template does not write the answer down as it is given, or the model does not stop at
            what ends a turn; the message says what to add.
    """
    stops = policy.model.generation_config.eos_token_id
    listed = stops if isinstance(stops, list | tuple) else [stops]
    return _end_of_turn(policy.tokenizer, tuple(stop for stop in listed if stop is not None))


@lru_cache(maxsize=4)
def _end_of_turn(tokenizer: Any, stops: tuple[int, ...]) -> int:
    if tokenizer.eos_token_id is None:
        raise UsageError("The tokenizer has no end-of-sequence token; set eos_token in its folder.")
    turn = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    text = tokenizer.apply_chat_template(turn, tokenize=False)
    before, found, after = text.rpartition(_ANSWER)
    if not found or _QUESTION not in before:
        raise UsageError(
            f"The chat template does not write a question and its answer as they are given, but {text[-400:]!r}. "
            "Expected both, word for word; put a template that does so into chat_template.jinja in the model's folder."
        )
    known = {tokenizer.eos_token_id, *stops}
    following = tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
    if following and following[0] in known:
        return int(following[0])
    names = ", ".join(sorted(tokenizer.convert_ids_to_tokens(sorted(known))))
    raise UsageError(
        f"The chat template ends a turn with {after!r}, and the model stops at {names}, so it would learn to go on "
        "talking. Let the template end the assistant's turn with one of these, or add the token that ends it to "
        "eos_token_id in the model's generation_config.json (eos_token in tokenizer_config.json)."
    )
