"""A cache with room holds what transformers' own holds, whatever is done to both."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer

from trainers.grpo.shared_prompt import Roomy


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("update"), st.integers(1, 70)),
            st.tuples(st.just("select"), st.lists(st.integers(0, 1), min_size=2, max_size=2)),
            st.tuples(st.just("crop"), st.integers(1, 3)),
            st.tuples(st.just("reset"), st.none()),
        ),
        max_size=12,
    )
)
@settings(deadline=None)
def test_it_holds_what_transformers_own_layer_holds(course: list[tuple[str, object]]) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = (Roomy(), DynamicLayer())
    for what, value in course:
        if what == "update":
            states = torch.randn(2, 2, 3, value, 4, generator=generator)  # type: ignore[call-overload]
            found = [layer.update(*states) for layer in layers]
            for ours, theirs in zip(*found, strict=True):
                assert torch.equal(ours, theirs)
        elif what == "select":
            for layer in layers:
                layer.batch_select_indices(torch.tensor(value))
        elif what == "crop" and layers[0].get_seq_length() > 3:
            for layer in layers:
                layer.crop(-value)  # type: ignore[operator]
        elif what == "reset":
            for layer in layers:
                layer.reset()
        assert layers[0].get_seq_length() == layers[1].get_seq_length()


def test_tokens_are_written_where_there_is_room() -> None:
    layer = Roomy()
    keys, _ = layer.update(*torch.zeros(2, 1, 1, 10, 4))
    longer, _ = layer.update(*torch.ones(2, 1, 1, 1, 4))
    assert longer.data_ptr() == keys.data_ptr()
    assert longer.shape == (1, 1, 11, 4)
