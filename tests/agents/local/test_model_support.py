"""Whatever way a model looks back, a policy's answers are those of plain forward passes, or the model is refused."""

from typing import Any

import pytest

from act_gym.errors import UsageError
from agents.local.model_support import folded_attention, folding_heads
from agents.prompts import format_reply

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # a state space says that it runs without its own kernels
]

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "initializer_range": 0.3,  # so that two texts differ by more than the last digits
}
MIXED = ["sliding_attention", "full_attention"]
MOE = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
# Architecture: its configuration, and whether a decoder may drive many of its episodes by masks.
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "Llama": ({}, True),
    "Mistral": ({"sliding_window": 6}, False),
    "Qwen2": ({"sliding_window": 6, "use_sliding_window": True, "max_window_layers": 1}, False),
    "Gemma3Text": ({"head_dim": 8, "sliding_window": 6, "layer_types": MIXED}, False),
    "Lfm2": ({"layer_types": ["conv", "full_attention"]}, False),
    "Qwen3Next": ({"head_dim": 8, **MOE, **LINEAR, "layer_types": ["linear_attention", "full_attention"]}, False),
    "FalconH1": (MAMBA, False),
}
COMMANDS = ["go north", "go south", "look", "look around", "take the lamp", "take the map"]
# Of different lengths, so that rows of a batch are padded, and longer than every window.
PROMPTS = [[{"role": "user", "content": "You see a door. " * count + "What now?"}] for count in (3, 1, 5)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    pytest.importorskip("gguf")
    from agents.local.default_model import model_path

    return transformers.AutoTokenizer.from_pretrained(model_path("smollm2"))


def policy_of(config: Any, tokenizer: Any) -> Any:
    from agents.local.model import Policy

    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    torch.manual_seed(0)
    return Policy(transformers.AutoModelForCausalLM.from_config(config), tokenizer, "tiny")


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    settings, _ = KINDS[request.param]
    kind = getattr(transformers, f"{request.param}Config")
    return policy_of(kind(**SMALL, **settings, vocab_size=len(tokenizer)), tokenizer)


def plain(policy: Any, tokens: list[int]) -> Any:
    """The log-probabilities after every token of one text, read at once and without a cache. Shape (T, V)."""
    with torch.inference_mode():
        return policy.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].log_softmax(-1)


def test_commands_are_ranked_as_by_plain_forward_passes(policy: Any) -> None:
    found = policy.rank(PROMPTS[:2], [COMMANDS] * 2, top=len(COMMANDS))
    for messages, ranked in zip(PROMPTS, found, strict=False):
        row = policy.prompt_ids(messages)
        for command, value in ranked:
            reply = policy.ids(format_reply(command))
            steps = plain(policy, row + reply)[len(row) - 1 : -1]
            assert value == pytest.approx(float(steps.gather(-1, torch.tensor(reply)[:, None]).sum()), abs=1e-3)


def test_replies_are_those_of_plain_forward_passes(policy: Any) -> None:
    replies = policy.generate(PROMPTS, max_new_tokens=6, temperature=0, stop=None)
    for messages, reply in zip(PROMPTS, replies, strict=True):
        row = policy.prompt_ids(messages)
        tokens = list(row)
        for _ in range(reply.completion_tokens):
            tokens.append(int(plain(policy, tokens)[-1].argmax()))
        assert reply.text == policy.tokenizer.decode(tokens[len(row) :], skip_special_tokens=True)


def test_only_attention_to_everything_is_driven_by_masks(policy: Any, request: pytest.FixtureRequest) -> None:
    from agents.local.agent import LocalAgent, LocalSettings
    from agents.local.scheduler import Decoder

    _, driven = KINDS[request.node.callspec.params["policy"]]
    stream = LocalAgent(LocalSettings(), policy=policy).stream(2)
    assert isinstance(getattr(stream, "decoder", None), Decoder) == driven


@pytest.mark.parametrize("number", ["float32", "bfloat16"])
def test_positions_that_go_by_the_cache_are_found_out(tokenizer: Any, number: str) -> None:
    from agents.local.constrained_decoding import takes_masks

    sizes = {"vocab_size": len(tokenizer), "n_layers": 2, "n_heads": 4, "initializer_range": 0.3}
    for config in (  # ALiBi: what is nearer in the cache counts for more
        transformers.MptConfig(d_model=32, **sizes),
        transformers.FalconConfig(**{**SMALL, **sizes}, alibi=True),
    ):
        policy = policy_of(config, tokenizer)
        policy.model.to(getattr(torch, number))
        assert not takes_masks(policy)


def test_a_model_that_cannot_go_on_from_a_cache_is_refused(tokenizer: Any) -> None:
    config = transformers.MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2)
    with pytest.raises(UsageError, match=r"MambaForCausalLM.* past_key_values"):
        policy_of(config, tokenizer)


@pytest.mark.parametrize("width", [1, 2, 16, 17])
def test_heads_folded_into_tokens_attend_as_transformers_does(width: int) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    torch.manual_seed(0)
    layer = torch.nn.Module()
    layer.num_key_value_groups, layer.is_causal = 3, True
    query, mask = (
        torch.randn(2, 6, width, 8),
        torch.zeros(2, 1, width, 20).masked_fill(torch.rand(width, 20) < 0.3, -1e9),
    )
    keys, values = torch.randn(2, 2, 20, 8), torch.randn(2, 2, 20, 8)
    expected = sdpa_attention_forward(layer, query, keys, values, mask, scaling=0.5)[0]
    found = folded_attention(layer, query, keys, values, mask, scaling=0.5)[0]
    torch.testing.assert_close(found, expected)


def test_folding_ends_with_the_pass() -> None:
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SMALL, vocab_size=64))
    config = model.config
    with folding_heads(model):
        assert config._attn_implementation != "sdpa"
    assert config._attn_implementation == "sdpa"
