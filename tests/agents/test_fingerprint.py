import json
from dataclasses import replace

import pytest

from agents.fingerprint import prompts_hash, weights_hash
from agents.openai.agent import ChatAgent, ChatSettings
from agents.prompt_config import Question

QUESTION = Question()


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, window=2),
        replace(QUESTION, thinking=True),
        replace(QUESTION, list_commands=5),
        replace(QUESTION, max_characters=100),
        replace(QUESTION, format="react"),
        replace(QUESTION, example=True),
    ],
    ids=["window", "thinking", "commands", "characters", "format", "example"],
)
def test_other_words_have_another_hash(other):
    assert prompts_hash(other) != prompts_hash(QUESTION) == prompts_hash(Question())


def test_another_chat_template_has_another_hash():
    assert prompts_hash(QUESTION, "{{ messages }}") != prompts_hash(QUESTION)


def test_a_hash_of_weights_knows_names_and_contents_and_nothing_else(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
    (second / "README.md").write_text("about it")
    assert weights_hash([first]) == weights_hash([second]) != ""
    (second / "model.safetensors").write_bytes(b"others")
    assert weights_hash([first]) != weights_hash([second])
    assert weights_hash([first, second]) != weights_hash([first])
    assert weights_hash([tmp_path / "a hub's id"]) == ""


def test_a_chat_agent_tells_its_model_words_and_sampling_and_no_address():
    settings = ChatSettings(model="m", base_url="http://127.0.0.1:1/v1", temperature=0.7, input_price=2.0)
    facts = ChatAgent(settings).facts
    assert (facts["model"], facts["sampling"]["temperature"]) == ("m", 0.7)
    assert facts["prompts_sha256"] == prompts_hash(settings.question())
    assert "127.0.0.1" not in json.dumps(facts)
    assert "price" not in json.dumps(facts)


@pytest.mark.slow
def test_a_local_agent_tells_its_weights():
    from agents.local.agent import LocalAgent, LocalSettings

    facts = LocalAgent(LocalSettings(window=1)).facts
    assert facts["model"] == "SmolLM2-135M-Instruct"
    assert len(facts["weights_sha256"]) == len(facts["prompts_sha256"]) == 64
    assert facts["sampling"]["window"] == 1
    assert {"device", "dtype", "model"}.isdisjoint(facts["sampling"])
    json.dumps(dict(facts))
