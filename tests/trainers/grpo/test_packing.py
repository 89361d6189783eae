"""How many replies share a row: what the operations say, of packs and of rows as they are."""

from __future__ import annotations

import pytest
import torch

from trainers.dry_run.costs import SHAPES
from trainers.grpo.packing import Packs, pack
from trainers.sequences import Costs, Sequences
from trainers.varlen import Layout

SMALL = SHAPES["smollm2-135m"]
COSTS = Costs(token=2 * SMALL.layers * SMALL.layer_parameters, pair=SMALL.pair_flops)


def packed(prompt: int, reply: int, group: int, *, last: int | None = None, by_sequence: bool = False) -> Packs | None:
    """One group in packs, its last reply shorter where it is told so."""
    ids = torch.cat([torch.ones(group, prompt), torch.arange(group * reply).view(group, reply)], dim=1).long()
    mask = torch.ones_like(ids)
    if last is not None:
        mask[-1, prompt + last :] = 0
    return pack(ids, mask, reply, COSTS, 0, by_sequence=by_sequence)


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
    # 2,687 tokens behind a mask beside two rows of 1,664: fewer, and yet more work, unless rows need a mask as well.
    assert packed(640, 1024, 2) is None
    assert packed(640, 1024, 2, last=1023) is not None


def test_replies_longer_than_what_they_share_stay_in_rows_of_their_own() -> None:
    assert packed(16, 256, 4) is None


@pytest.mark.parametrize(("prompt", "reply", "group"), [(512, 64, 8), (256, 256, 16), (512, 1024, 2), (64, 32, 2)])
def test_where_attention_goes_by_sequence_one_pack_holds_the_group(prompt: int, reply: int, group: int) -> None:
    packs = packed(prompt, reply, group, by_sequence=True)
    assert packs is not None
    assert packs.input_ids.shape == (1, prompt - 1 + group * reply)
    assert packs.layout == Layout((Sequences(prompt - 1, (reply,) * group),))


def test_replies_that_dwarf_their_prompt_stay_in_rows_of_their_own_that_need_no_mask() -> None:
    assert packed(16, 2048, 4, by_sequence=True) is None
    assert packed(16, 2048, 4, last=2047, by_sequence=True) is not None


def test_one_pack_holds_several_groups_and_leaves_out_padding_and_empty_replies() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 90, (3, 20), generator=generator).repeat_interleave(2, dim=0)
    ids = torch.cat([ids, torch.randint(2, 90, (6, 8), generator=generator)], dim=1)
    mask = torch.ones_like(ids)
    mask[2:4, :15] = 0
    mask[0, 23:] = 0
    mask[5, 20:] = 0
    packs = pack(ids, mask, 8, COSTS, 0, by_sequence=True)
    assert packs is not None
    assert packs.layout == Layout((Sequences(19, (3, 8)), Sequences(4, (8, 8)), Sequences(19, (8,))))
    assert packs.input_ids.shape == (1, packs.layout.tokens)
    said = packs.labels[packs.labels >= 0]
    assert said.tolist() == ids[:, 20:][mask[:, 20:].bool()].tolist()
    assert packs.unpacked(packs.labels).tolist() == (ids * mask)[:, 20:].tolist()
