"""Samples packed into rows: the same loss and gradients as in rows of their own, for every way of attending."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MambaConfig, MambaForCausalLM

from tests.tiny_models import CONFIGS, build
from trainers.imitation import ImitationConfig, train
from trainers.sequences import Costs
from trainers.sft.sample_packing import PackingCollator, bins, why_not
from trainers.varlen import use

LENGTHS = (31, 4, 17, 9, 9, 2, 1, 13)


def samples_of(lengths):
    """Random samples whose last third is learnt."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(2, 512, (length,), generator=generator).tolist() for length in lengths]
    return [{"input_ids": row, "labels": [-100] * (2 * len(row) // 3) + row[2 * len(row) // 3 :]} for row in rows]


def results(model, batches):
    """The summed loss over the answers, and all gradients in one vector."""
    model.zero_grad()
    loss = torch.zeros(())
    for batch in batches:
        labels, learnt = batch.pop("labels"), batch.pop("shift_labels", None)
        logits = model(**batch, use_cache=False).logits
        if learnt is None:
            logits, learnt = logits[:, :-1], labels[:, 1:]
        assert logits.shape[:2] == learnt.shape
        loss = loss + torch.nn.functional.cross_entropy(logits.flatten(0, 1), learnt.flatten(), reduction="sum")
    loss.backward()
    return loss.detach(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 20))
def test_every_item_is_in_one_bin_and_no_bin_overflows(lengths, more):
    capacity = max(lengths) + more
    found = bins(lengths, capacity)
    assert sorted(item for row in found for item in row) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in row) <= capacity for row in found)
    # No two bins would fit into one.
    totals = sorted(sum(lengths[item] for item in row) for row in found)
    assert len(totals) < 2 or totals[0] + totals[1] > capacity


@pytest.mark.parametrize(
    ("kind", "attention", "how"),
    [
        *((kind, attention, how) for kind in CONFIGS for attention in ("sdpa", "eager") for how in ("", "one_row")),
        *((kind, "sdpa", "by_sequence") for kind in CONFIGS),
    ],
)
def test_loss_and_gradients_are_those_of_rows_of_their_own(kind, attention, how):
    model, samples = build(kind, attention), samples_of(LENGTHS)
    packed = PackingCollator(padding=1, **({how: True} if how else {}))(samples)
    assert packed["input_ids"].shape == ((1, 86) if how else (3, 31))
    assert use(model) == (attention == "sdpa")  # which changes nothing where there is no layout
    alone = [
        {name: torch.tensor([values]) for name, values in sample.items()}
        for sample in samples
        if sample["input_ids"][1:]
    ]
    expected, gradients = results(model, alone)
    loss, found = results(model, [packed])
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pair", "shape"), [(0.0, (1, 70)), (1.0, (3, 30))])
def test_rows_are_longer_than_the_longest_sample_where_that_takes_fewer_operations(pair, shape):
    # Three rows of 30 hold 20 tokens of padding; a single one holds none, and its attention is wider.
    collate = PackingCollator(padding=1, costs=Costs(token=1.0, pair=pair))
    batch = collate(samples_of((30, 20, 20)))
    assert batch["input_ids"].shape == shape
    assert (batch["position_ids"] == 0).sum() == 3 + shape[0] * shape[1] - 70


def test_a_sample_says_nothing_about_its_neighbours():
    """Other tokens in one sample change no other sample's loss."""
    model, samples = build("llama"), samples_of((12, 10, 8))
    collate = PackingCollator(padding=1, one_row=True)
    changed = [{**samples[0], "input_ids": samples[0]["input_ids"][::-1]}, *samples[1:]]

    def logits(batch):
        return model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits

    before, after = logits(collate(samples)), logits(collate(changed))
    assert not torch.equal(before[:, :12], after[:, :12])
    assert torch.equal(before[:, 12:], after[:, 12:])


def test_training_goes_as_with_padding(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    def losses(pack: bool) -> list[float]:
        out = tmp_path / str(pack)
        train(
            ImitationConfig(
                decisions=pairs_file,
                model=str(tiny_model),
                out=out,
                pack=pack,
                epochs=2,
                batch=8,
                probe=0,
                learning_rate=1e-3,
                precision="fp32",
            )
        )
        lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        return [line[name] for line in lines for name in ("loss", "grad_norm") if name in line and "event" not in line]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)


def test_layers_that_carry_a_state_are_padded():
    model = MambaForCausalLM(MambaConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2))
    assert why_not(model)
    assert not why_not(build("llama"))
