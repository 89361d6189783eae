"""Tokens are drawn row by row from the whole distribution, to the bit as the plain formula says."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from agents.local.sampling import Sampler  # noqa: E402
from tests.tiny_models import build  # noqa: E402

ROWS, VOCABULARY = 9, 5_003


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_draws_equal_the_plain_formula_in_any_batch(dtype, temperature: float) -> None:
    sampler = Sampler(build("llama"), SimpleNamespace(eos_token_id=1), 8, temperature, None)
    logits = (3 * torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(0))).to(dtype)
    before = logits.clone()

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in range(ROWS)]

    drawn = [sampler._draw(logits, own) for own in [generators()] for _ in range(50)]
    alone = [
        [sampler._draw(logits[row : row + 1], [own])[0] for row, own in enumerate(each)]
        for each in [generators()]
        for _ in range(50)
    ]
    plain = []
    each = generators()
    for _ in range(50):
        sums = (logits.float() / temperature).softmax(-1).double().cumsum(-1)
        numbers = torch.cat([torch.rand(1, generator=own, dtype=torch.float64) for own in each])
        plain.append([int((sums[row] <= numbers[row] * sums[row, -1]).sum()) for row in range(ROWS)])
    assert drawn == alone == plain
    assert torch.equal(logits, before)
    assert len({token for tokens in drawn for token in tokens}) > 20
