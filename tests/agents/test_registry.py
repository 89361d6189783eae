from pathlib import Path

import pytest

from act_gym.errors import UnknownNameError, UsageError
from agents.registry import is_foreign, make_agent, parse_agent

MODULE = """
from act_gym import AgentAction, function_agent

class Patient:
    def __init__(self, patience="0"):
        self.name = f"patient:{patience}"
    def act(self, views):
        return [AgentAction(action="wait") for _ in views]

def build(word="look"):
    return function_agent(word, lambda view: word)

ready = build("inventory")
broken = 3
def nothing():
    return None
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_agents"


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [
        ("random", "random", {}),
        ("local:decode=ranked,model=runs/x/final", "local", {"decode": "ranked", "model": "runs/x/final"}),
        ("local:device=cuda:1", "local", {"device": "cuda:1"}),
        ("my.agents:Careful", "my.agents:Careful", {}),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", {}),
        ("https://[::1]:8000/v1:model=a:b", "https://[::1]:8000/v1", {"model": "a:b"}),
        ("replay:episodes=runs/x/episodes.jsonl", "replay", {"episodes": "runs/x/episodes.jsonl"}),
        ("my.agents:Careful:patience=3", "my.agents:Careful", {"patience": "3"}),
    ],
)
def test_a_name_is_told_from_its_settings(spec: str, name: str, options: dict[str, str]) -> None:
    assert parse_agent(spec) == (name, options)


def test_known_names_give_agents() -> None:
    assert [make_agent(name).name for name in ("random", "expert")] == ["random", "expert"]


def test_classes_functions_and_objects_of_any_module_are_agents(own_module: str) -> None:
    specs = ("Patient", "Patient:patience=3", "build", "build:word=wait", "ready")
    names = [make_agent(f"{own_module}:{spec}").name for spec in specs]
    assert names == ["patient:0", "patient:3", "look", "wait", "inventory"]


def test_given_options_win_over_those_in_the_name(own_module: str) -> None:
    assert make_agent(f"{own_module}:Patient:patience=3", {"patience": "5"}).name == "patient:5"


@pytest.mark.parametrize("spec", ["broken", "nothing", "Patient:speed=1", "ready:word=x"])
def test_what_is_no_agent_or_takes_no_such_setting_is_refused(own_module: str, spec: str) -> None:
    with pytest.raises(UsageError, match=own_module):
        make_agent(f"{own_module}:{spec}")


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean random"):
        make_agent("randm")
    with pytest.raises(UnknownNameError, match="Did you mean decode"):
        make_agent("local:decod=ranked")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:Agent", "No module no_such_module"),
        ("random:pace=1", "takes no settings"),
        ("local:window=many", "type int"),
        ("local:thinking=maybe", "true or false"),
        ("local:decode=ranked,thinking=true", "no reasoning"),
        ("local:window=-2", "0 or more"),
        ("local:decode=ranked,fast", "not a setting"),
        ("local:format=xml", "No format xml"),
        ("chat:model=m,retries=often", "type int"),
        ("chat", "needs a model"),
        ("http://127.0.0.1:8000/v1", "needs a model"),
        ("replay", "needs a file"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_loaded(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_agent(spec)


def test_only_module_and_class_are_somebody_elses() -> None:
    specs = ("random", "chat:model=m", "http://127.0.0.1:8000/v1:model=m", "my.agents:Careful", "my.agents:Careful:x=1")
    assert [is_foreign(spec) for spec in specs] == [False, False, False, True, True]


def test_a_key_is_no_setting_and_is_not_repeated() -> None:
    with pytest.raises(UnknownNameError, match="api_key") as caught:
        make_agent("chat:model=m,api_key=sk-secret")
    assert "sk-secret" not in str(caught.value)
