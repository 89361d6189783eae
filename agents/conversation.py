"""Conversation history: an episode as one growing chat whose tokens are only ever appended.

Many chat templates render earlier turns differently once later ones follow. Here the template renders the opening only;
each reply, and the template's own text between a reply and the next one, is tokenised separately and appended. So the
tokens of turn t are a prefix of those of turn t + 1: the KV cache stays valid, and training reads the exact tokens of
the rollout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from act_gym.errors import UsageError
from agents.prompts import Message

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["between", "fitted", "following_ids", "halved", "opening_of", "reply_ids", "with_turns"]

_QUESTION, _ANSWER, _NEXT = "Which command?", "QZANSWERZQ", "QZNEXTZQ"
_TEMPLATE_TOKENS = 256  # tokens that a chat template adds to a message, its own system prompt included
_TAG_TOKENS = 12  # `<think>` and white space need no more


def opening_of(messages: Sequence[Message]) -> list[Message]:
    """Return the messages before the first reply."""
    first = next((place for place, message in enumerate(messages) if message["role"] == "assistant"), len(messages))
    return list(messages[:first])


def fitted(policy: Policy, messages: Sequence[Message], limit: int, *, thinking: bool = False) -> list[Message]:
    """Return a conversation of at most `limit` tokens: its opening and its last turns, halved until it fits.

    The last turn always stays, so the result may still be too long; the caller checks.
    """
    # A token is at least one byte, so most conversations are known to fit without tokenising.
    if sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE_TOKENS for message in messages) <= limit:
        return list(messages)
    for shown in halved(messages):
        if len(policy.prompt_ids(shown, thinking=thinking)) <= limit:
            break
    return shown


def halved(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield a conversation, then versions with half as many of its last turns; the opening and the last turn stay."""
    yield list(messages)
    opening = len(opening_of(messages))
    turns = (len(messages) - opening) // 2
    while turns > 1:
        turns //= 2
        yield [*messages[:opening], *messages[len(messages) - 2 * turns :]]


def with_turns(policy: Policy, opening: list[int], turns: Sequence[Message], *, thinking: bool = False) -> list[int]:
    """Return the tokens of a conversation: its opening, then each reply and the next message."""
    row = list(opening)
    for reply, following in zip(turns[::2], turns[1::2], strict=True):
        row += reply_ids(policy, row, reply["content"])
        row += following_ids(policy, following["content"], thinking=thinking)
    return row


def reply_ids(policy: Policy, prompt: Sequence[int], reply: str) -> list[int]:
    """Return the tokens of a reply after a prompt, without the end token.

    Some templates open the reasoning in the prompt: a reply with reasoning continues it, and one without closes it.
    """
    # The last tokens are enough, and a tag may be one token or several.
    if (
        policy.tokenizer.decode(list(prompt[-_TAG_TOKENS:])).rstrip().endswith("<think>")
        and "</think>" not in (reply.partition("<think>")[0])
    ):
        reply = reply.removeprefix("<think>") if reply.startswith("<think>") else f"</think>{reply}"
    return policy.ids(reply)


def following_ids(policy: Policy, content: str, *, thinking: bool = False) -> list[int]:
    """Return the tokens between two replies: the end token, the user's turn and the assistant header.

    Args:
        policy: The model.
        content: The user's next message.
        thinking: Passed to chat templates that take `enable_thinking`.
    """
    before, after = between(policy.tokenizer, thinking)
    return policy.ids(f"{before}{content.strip()}{after}")


@lru_cache(maxsize=16)
def between(tokenizer: Any, thinking: bool = False) -> tuple[str, str]:
    """Return the text of a chat template between a reply and the next user message, and after that message.

    Raises:
        UsageError: The template changes the messages, or cannot render several turns.
    """
    chat: list[Message] = [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _ANSWER},
        {"role": "user", "content": _NEXT},
    ]
    options = {"enable_thinking": thinking} if "enable_thinking" in tokenizer.chat_template else {}
    text: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **options)
    _, answered, rest = text.partition(_ANSWER)
    before, asked, after = rest.partition(_NEXT)
    if not (answered and asked and before and after):
        raise UsageError(
            f"The chat template renders a chat of two turns as {text[-300:]!r}; expected both of the user's messages "
            "and the reply between them. Use history=window with this model."
        )
    return before, after
