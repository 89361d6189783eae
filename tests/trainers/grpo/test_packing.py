"""How many replies share a row: what the operations say, of packs and of rows as they are."""

from __future__ import annotations

import pytest
import torch

from trainers.estimates.costs import SHAPES
from trainers.grpo.packing import Costs, Packs, pack

SMALL = SHAPES["smollm2-135m"]
COSTS = Costs(token=SMALL.token_flops, pair=SMALL.pair_flops)


def packed(prompt: int, reply: int, group: int, *, last: int | None = None) -> Packs | None:
    """One group in packs, its last reply shorter where it is told so."""
    ids = torch.cat([torch.ones(group, prompt), torch.arange(group * reply).view(group, reply)], dim=1).long()
    mask = torch.ones_like(ids)
    if last is not None:
        mask[-1, prompt + last :] = 0
    return pack(ids, mask, reply, COSTS, 0)


@pytest.mark.parametrize(
    ("prompt", "reply", "group", "rows"),
    [(512, 64, 8, 1), (256, 64, 16, 1), (1024, 128, 8, 1), (256, 256, 4, 1), (256, 256, 16, 4), (256, 128, 16, 2)],
)
def test_long_replies_to_short_prompts_are_spread_over_several_packs(
    prompt: int, reply: int, group: int, rows: int
) -> None:
    packs = packed(prompt, reply, group)
    assert packs is not None
    assert packs.input_ids.shape == (rows, prompt - 1 + group // rows * reply)


def test_a_pack_has_to_be_cheaper_than_rows_whose_attention_skips_half_of_the_pairs() -> None:
    # 2,559 tokens behind a mask beside two rows of 1,536: fewer, and yet more work, unless rows need a mask as well.
    assert packed(512, 1024, 2) is None
    assert packed(512, 1024, 2, last=1023) is not None


def test_replies_longer_than_what_they_share_stay_in_rows_of_their_own() -> None:
    assert packed(16, 256, 4) is None
