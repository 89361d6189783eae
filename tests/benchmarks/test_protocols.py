import json

import pytest

from act_gym import RunError, UsageError
from act_gym.agent import AgentInput
from act_gym.io.jsonl import read_records
from act_gym.types import Task, Turn
from agents.local.agent import LocalSettings
from agents.openai.agent import ChatSettings
from agents.prompt_sets import find_prompts
from benchmarks.compare import main as compare
from benchmarks.evaluate import EvalConfig, main, options_of
from benchmarks.leaderboard.submission import make_entries
from benchmarks.merge import main as merge
from benchmarks.protocols import agent_settings, applied, protocol, protocols
from benchmarks.protocols import main as show
from benchmarks.stats.measurement import Summary
from benchmarks.stats.scores import sampled
from benchmarks.suites import suite
from tests.tiny_models import save_with_tokenizer

TINY = ["--suite", "alfworld-unseen-134", "--limit", "2", "--workers", "1"]


@pytest.mark.parametrize("name", protocols())
def test_a_protocol_fixes_what_both_model_agents_need(name):
    chosen = protocol(name)
    options = agent_settings(name, "local", {})
    assert {"prompts", "format", "thinking", "history", "list_commands", "temperature", "max_new_tokens"} <= set(
        options
    )
    assert agent_settings(name, "chat", {}).items() <= options.items()
    find_prompts(options["prompts"]).reply(options["format"], reasoning=options["thinking"] == "true")
    assert {suite(each).benchmark for each in chosen.suites} == set(chosen.scorer)
    assert chosen.source
    assert chosen.unlike


def test_every_protocol_is_in_the_table_and_on_the_page(capsys):
    show([])
    lines = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["setting"].split("\t") == list(protocols())
    assert lines["steps"].split("\t")[list(protocols()).index("eto")] == "ALFWorld: 40, ScienceWorld: by task type"
    show(["--json"])
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == list(protocols())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_turns": 30}, "--max-turns is 30"),
        ({"step_limit": "eto"}, "--step-limit is 'eto'"),
        ({"env": ("act/ALFWorld-seen",)}, "--env is"),
        ({"suite": ("scienceworld-test",)}, "--suite is 'scienceworld-test'"),
        ({"interface": "renamed"}, "--interface is 'renamed'"),
        ({"wrappers": ("history",)}, "--wrappers is 'history'"),
        ({"env_options": ("legacy_commands=true",)}, "--env-options legacy_commands is True"),
    ],
    ids=str,
)
def test_a_contradicting_setting_is_refused_by_name(settings, named):
    with pytest.raises(UsageError, match=named):
        applied(EvalConfig(protocol="verl-agent", **settings))


def test_a_contradicting_setting_of_an_agent_is_refused():
    with pytest.raises(UsageError, match="setting window is '5', but the protocol verl-agent fixes it: 2"):
        agent_settings("verl-agent", "local:window=5", {})
    assert agent_settings("verl-agent", "local", {"temperature": "0.40"})["temperature"] == "0.4"
    assert agent_settings("verl-agent", "my_module:Mine", {"window": "5"}) == {"window": "5"}


@pytest.mark.parametrize("kind", [LocalSettings, ChatSettings])
def test_verl_agents_window_shows_two_numbered_turns(kind):
    options = agent_settings("verl-agent", "local" if kind is LocalSettings else "chat", {})
    names = {"window": 2, "list_commands": 1000, "max_characters": 100000}
    question = kind(
        **{
            **options,
            **names,
            "thinking": True,
            "example": False,
            "temperature": 0.4,
            **(
                {"model": "m", "base_url": "http://127.0.0.1:1/v1", "max_new_tokens": 512}
                if kind is ChatSettings
                else {"model": "m", "max_new_tokens": 512}
            ),
        }
    ).question()
    turns = tuple(Turn(observation=f"room {number}", action=f"go {number}") for number in range(1, 5))
    view = AgentInput(
        task=Task(id="t", benchmark="ALFWorld", split="seen", task_type="x"),
        goal="put a mug on a desk",
        observation="room 5",
        admissible_commands=("look", "go 5"),
        history=turns,
    )
    (message,) = question.messages(view)
    text = message["content"]
    assert "taken 4 actions" in text
    assert "step 5" in text
    assert "[Observation 3: 'room 3', Action 3: 'go 3']\n[Observation 4: 'room 4', Action 4: 'go 4']" in text
    assert "room 2" not in text
    assert "['look', 'go 5']" in text
    assert text.endswith("<action>action</action>.")


def test_independent_draws_scatter_more_than_different_tasks():
    panel = [1.0] * 70 + [0.0] * 70
    drawn, different = (sampled(panel, size=128, replace=replace) for replace in (True, False))
    assert drawn.value == different.value == 0.5
    # Standard errors: sqrt(.25 / 128), and that times sqrt((140 - 128) / 139).
    assert (drawn.high - drawn.low) / 2 == pytest.approx(1.96 * 0.0442, abs=0.01)
    assert (different.high - different.low) / 2 == pytest.approx(1.96 * 0.0442 * 0.294, abs=0.01)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The random agent on the same two games under two protocols, and under none."""
    folder = tmp_path_factory.mktemp("protocols")
    for name in ("verl-agent", "eto"):
        assert main(["--protocol", name, *TINY, "--out", str(folder / name)]) == 0
    assert main([*TINY, "--out", str(folder / "none")]) == 0
    return folder


def test_summary_and_manifest_name_the_protocol(runs):
    summary = Summary.read(runs / "eto")
    assert summary.protocol == "eto"
    assert {one.suite for one in summary.measurements} == {"alfworld-unseen-134, 2 of 134, protocol eto"}
    assert json.loads((runs / "eto" / "manifest.json").read_text())["protocol"]["sha256"] == protocol("eto").sha256
    assert all(line["turns"] <= 40 for line in read_records(runs / "eto" / "records.jsonl"))
    assert any(one.name == "success_sampled" for one in Summary.read(runs / "verl-agent").measurements)


def test_runs_of_two_protocols_are_not_compared(runs):
    with pytest.raises(RunError, match=r"protocol\.agent\.window +absent +2"):
        compare([str(runs / "eto"), str(runs / "verl-agent")])
    with pytest.raises(RunError, match=r"protocol +\{"):
        compare([str(runs / "verl-agent"), str(runs / "none")])
    with pytest.raises(RunError, match=r"protocol\.name"):
        merge([str(runs / "eto"), str(runs / "verl-agent"), "--out", str(runs / "both")])
    with pytest.raises(RunError, match="under the protocol eto"):
        make_entries(runs / "eto", runs / "board")


@pytest.mark.slow
def test_a_tiny_model_plays_under_a_protocol(tmp_path):
    model, out = save_with_tokenizer(tmp_path / "model"), tmp_path / "run"
    words = ["--protocol", "agentboard", "--limit", "1", "--agent", "local", "--model", str(model)]
    assert main([*words, "--out", str(out)]) == 0
    (record,) = read_records(out / "records.jsonl")
    assert record["turns"] == 30
    assert record["completion_tokens"] <= 30 * 100
    question = json.loads((out / "manifest.json").read_text())["agent"]["question"]
    assert (question["prompts"], question["format"], question["example"]) == ("agentboard", "react", True)


def test_an_interface_is_named_and_explained(tmp_path):
    words = ["--env", "act/ALFWorld-generated-seen", "--limit", "1", "--agent", "expert", "--interface", "merged"]
    assert main([*words, "--workers", "1", "--out", str(tmp_path / "run")]) == 0
    summary = Summary.read(tmp_path / "run")
    assert {one.suite for one in summary.measurements} == {"ALFWorld generated-seen, 1 of 150, merged interface"}
    assert next(one.value for one in summary.measurements if one.name == "success") == 1.0
    assert "transfer O from hand to R" in find_prompts("interface-merged").environment("ALFWorld")
    assert options_of(EvalConfig(agent="local", interface="merged"))["prompts"] == "interface-merged"
    assert options_of(EvalConfig(agent="local:prompts=mine", interface="merged")) == {}
