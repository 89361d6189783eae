from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from act_gym.config import parse, read_recipe, read_settings
from act_gym.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Inner:
    """Settings inside settings."""

    depth: int = 1
    """How deep."""


@dataclass(frozen=True)
class Arguments:
    """A program."""

    steps: int = 3
    """How many steps."""
    rate: float = 0.1
    """How fast."""
    name: str = "plain"
    """What it is called."""
    envs: tuple[str, ...] = ()
    """Where."""
    size: tuple[int, int] = (1, 2)
    """How large."""
    out: Path | None = None
    """Where to."""
    order: Literal["drawn", "expert_first"] = "drawn"
    """Which order."""
    thinking: bool = False
    """Whether to reason."""
    inner: Inner = field(default_factory=Inner)
    """More."""


@dataclass(frozen=True)
class Needy:
    """A program with an argument that has no default."""

    env: str
    """Which environment."""
    seed: int = 0
    """Which seed."""


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_without_anything_the_defaults_hold():
    assert parse(Arguments, [], program="program") == Arguments()


def test_the_command_line_wins_over_the_recipe_and_the_recipe_over_the_defaults(recipe):
    path = recipe("steps: 7\nrate: 0.5\n")
    assert parse(Arguments, ["--recipe", path, "--rate", "0.9"], program="p") == Arguments(steps=7, rate=0.9)
    assert parse(Arguments, ["--rate", "0.9", f"--recipe={path}"], program="p") == Arguments(steps=7, rate=0.9)


def test_a_recipe_can_hold_every_kind_of_value(recipe):
    path = recipe(
        "envs: [act/ScienceWorld-seen, act/ScienceWorld-unseen]\nsize: [3, 4]\nout: runs/x\n"
        "order: expert_first\nthinking: true\nrate: 1\ninner: {depth: 2}\n"
    )
    assert parse(Arguments, ["--recipe", path], program="p") == Arguments(
        envs=("act/ScienceWorld-seen", "act/ScienceWorld-unseen"),
        size=(3, 4),
        out=Path("runs/x"),
        order="expert_first",
        thinking=True,
        rate=1.0,
        inner=Inner(depth=2),
    )


def test_the_command_line_can_take_back_what_a_recipe_sets(recipe):
    path = recipe("thinking: true\nout: runs/x\nenvs: [a, b]\n")
    argv = ["--recipe", path, "--no-thinking", "--out", "None", "--envs", "c"]
    assert parse(Arguments, argv, program="p") == Arguments(envs=("c",))


def test_a_small_rate_is_a_number_although_yaml_takes_it_for_text(recipe):
    assert parse(Arguments, ["--recipe", recipe("rate: 1e-5\n")], program="p").rate == 1e-5


@given(
    st.builds(
        Arguments,
        steps=st.integers(-(10**9), 10**9),
        rate=st.floats(allow_nan=False),
        name=st.text(),
        envs=st.lists(st.text(), max_size=3).map(tuple),
        thinking=st.booleans(),
        inner=st.builds(Inner, depth=st.integers(0, 9)),
    )
)
def test_whatever_arguments_are_written_to_a_recipe_come_back(tmp_path_factory, arguments):
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    values = {name: getattr(arguments, name) for name in ("steps", "rate", "name", "thinking")}
    values |= {"envs": list(arguments.envs), "inner": {"depth": arguments.inner.depth}}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert parse(Arguments, ["--recipe", str(path)], program="p") == arguments


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("steps: many", r"steps is 'many', of type str; expected int"),
        ("steps: 1.5", r"steps is 1\.5, of type float; expected int"),
        ("steps: true", r"steps is True, of type bool; expected int"),
        ("rate: fast", r"rate is 'fast', of type str; expected float"),
        ("rate: true", r"rate is True, of type bool; expected float"),
        ("name: 7", r"name is 7, of type int; expected str"),
        ("name: no", r"name is False, of type bool; expected str"),
        ("thinking: 1", r"thinking is 1, of type int; expected bool"),
        ("envs: act/ScienceWorld", r"envs is 'act/ScienceWorld', of type str; expected tuple\[str, \.\.\.\]"),
        ("envs: [1]", r"envs is 1, of type int; expected str"),
        ("size: [1, 2, 3]", r"size is \[1, 2, 3\], of type list; expected tuple\[int, int\]"),
        ("order: backwards", r"order is 'backwards', of type str; expected 'drawn' or 'expert_first'"),
        ("out: 3", r"out is 3, of type int; expected Path or None"),
        ("steps:", r"steps is None, of type NoneType; expected int"),
        ("inner: 3", r"inner is 3, of type int; expected Inner"),
        ("inner: {depth: x}", r"inner: depth is 'x', of type str; expected int"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_field(recipe, line, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse(Arguments, ["--recipe", recipe(line)], program="p")


def test_an_unknown_name_in_a_recipe_comes_with_the_nearest_one(recipe):
    with pytest.raises(UnknownNameError, match=r"named step\. Did you mean steps"):
        parse(Arguments, ["--recipe", recipe("step: 1")], program="p")


def test_a_recipe_may_leave_a_needed_argument_to_the_command_line(recipe, capsys):
    path = recipe("seed: 5\n")
    assert parse(Needy, ["--recipe", path, "--env", "act/ALFWorld"], program="p") == Needy(env="act/ALFWorld", seed=5)
    with pytest.raises(SystemExit) as stopped:
        parse(Needy, ["--recipe", path], program="p")
    assert stopped.value.code == 2
    assert "--env" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "complaint"), [("[1, 2]", "is a list"), ("", "is a NoneType"), ("a: [", "is not YAML")]
)
def test_a_file_that_is_no_recipe_is_named(recipe, text, complaint):
    with pytest.raises(UsageError, match=complaint):
        read_recipe(Path(recipe(text)))


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"Cannot read the recipe .*absent\.yaml: No such file"):
        parse(Arguments, ["--recipe", str(tmp_path / "absent.yaml")], program="p")
    with pytest.raises(UsageError, match="--recipe needs a name or a file"):
        parse(Arguments, ["--recipe"], program="p")


def test_help_shows_every_argument_and_the_recipe(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(Arguments, ["--help"], program="act-gym program")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: act-gym program" in shown
    assert "--recipe FILE.yaml" in shown
    assert "How many steps." in shown


def test_help_has_examples_and_no_empty_defaults(capsys):
    from agents.human import PlayConfig

    with pytest.raises(SystemExit):
        parse(PlayConfig, ["--help"], program="act-gym play")
    shown = capsys.readouterr().out
    assert "examples:\n  act-gym play act/WebShop-generated-seen\n" in shown
    assert "(default: 0)" in shown
    assert "(default: )" not in shown
    assert "(default: '')" not in shown


def test_settings_are_text_unless_they_are_json_that_cannot_be_text():
    read = read_settings(["catalogue=1000", "human_goals=true", 'observe=["look"]', "engine=a=b"], "--env-options")
    assert read == {"catalogue": "1000", "human_goals": True, "observe": ["look"], "engine": "a=b"}
    for word in ("catalogue", "=x", "a b=c", "observe=[look"):
        with pytest.raises(UsageError, match="--env-options"):
            read_settings([word], "--env-options")


def test_of_several_recipes_the_later_ones_win(tmp_path):
    for name, text in (("one", "steps: 7\ninner: {depth: 4}\n"), ("two", "steps: 8\nrate: 0.5\n")):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    argv = ["--recipe", str(tmp_path / "one.yaml"), f"--recipe={tmp_path / 'two.yaml'}", "--rate", "0.9"]
    assert parse(Arguments, argv, program="p") == Arguments(steps=8, rate=0.9, inner=Inner(depth=4))
