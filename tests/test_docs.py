"""What the pages show is run: every block of Python, every command up to its parser."""

import ast
import re
import shlex
from pathlib import Path
from textwrap import dedent

import gymnasium as gym
import pytest
import tyro

from act_gym import cli
from act_gym.benchmarks import BENCHMARKS
from act_gym.errors import MissingDataError, MissingDependencyError
from act_gym.help_texts import EXAMPLES, GROUPS, TRAIN_GROUPS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "AGENTS.md",
    *sorted((ROOT / "skills").rglob("*.md")),
    # The leaderboard's page is made by a program, of sixty commands that differ in two words.
    # The site's build writes docs/tutorials from the examples, which have a test of their own.
    *sorted(
        page
        for page in (ROOT / "docs").rglob("*.md")
        if page.name != "leaderboard.md" and page.parent.name != "tutorials"
    ),
]
OURS = ("act-gym", "python -m trainers", "python -m benchmarks", "python -m agents", "python -m act_gym")
RUN_ELSEWHERE = {  # how a block begins, and the test that runs it
    "from datasets import Dataset": "tests/trainers/grpo/test_tool_calls.py",
    "from act_gym.integrations.openenv_server": "tests/act_gym/integrations/test_openenv.py",
}


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [dedent(block) for block in found]


def elsewhere(block):
    return next((file for start, file in RUN_ELSEWHERE.items() if block.startswith(start)), None)


WITH_CODE = [page for page in PAGES if any(not elsewhere(block) for block in blocks(page, "python"))]


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder in which a reader works: it has what a page says that they bring along."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainers").symlink_to(ROOT / "trainers")
    (tmp_path / "OUT" / "jobs").mkdir(parents=True)
    for recipe in ("my.yaml", "OUT/jobs/act-KEY.yaml"):
        (tmp_path / recipe).write_text("{}\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*is not within the observation space:UserWarning")
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, room):
    if "my_games/" in page.read_text(encoding="utf-8"):
        from act_gym.engines.alfworld.generate.__main__ import main

        main(["--split", "train", "--count", "1", "--out", "my_games"])
    made, make, known = [], gym.make, {"__name__": "reader"}
    benchmarks, registered = dict(BENCHMARKS), dict(gym.registry)
    gym.make = lambda *given, **options: made.append(make(*given, **options)) or made[-1]
    try:
        for block in blocks(page, "python"):
            if not elsewhere(block):
                exec(compile(block, name(page), "exec"), known)
    except (MissingDataError, MissingDependencyError) as missing:
        pytest.skip(str(missing))
    finally:
        gym.make = make
        for env in made:
            env.close()
        for all_of, before in ((BENCHMARKS, benchmarks), (gym.registry, registered)):  # a page may register its own
            all_of.clear()
            all_of.update(before)


@pytest.mark.parametrize("file", RUN_ELSEWHERE.values())
def test_a_block_that_is_not_run_here_is_run_there(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert '"integrations.md"' in text
    assert "```python" in text


class Read(Exception):  # noqa: N818  (it is no error)
    """The program has read its arguments; it is stopped here."""


def commands(page):
    """Yield a page's commands for our programs as lists of words, and whether each is shown to be typed as it is."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "(?:bash|sh|console)") for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"^ {4}((?:python -m|act-gym) .*)$", text, re.MULTILINE)
    named = re.findall(r"(?<!`)`((?:python -m|act-gym) [^`\n]+)`", text)
    for number, line in enumerate(lines + named):
        for part in re.split(r"&&|;|\|(?=\s)", re.sub(r"(^|\s)#.*", "", line)):
            words = shlex.split(part)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            words = [Path(word).name if word.endswith("bin/act-gym") else word for word in words]
            if " ".join(words).startswith(OURS):
                left_out = {at for at, word in enumerate(words) if word == "…" and not words[at - 1].startswith("--")}
                whole = [word for at, word in enumerate(words) if at not in left_out]
                yield whole, number < len(lines) and whole == words


def parsed(words):
    """Return what a command's own parser makes of it, and nothing else of the program runs."""
    if words[0] == "act-gym":
        if words[1:2] == ["train"] and "--launch" in words:
            from trainers.launch import command

            launched = command(words[2:], 2)
            words = ["python", "-m", *launched[launched.index("-m") + 1 :]]
        else:
            return cli.main(words[1:])
    from importlib import import_module

    try:
        module = import_module(f"{words[2]}.__main__")
    except ModuleNotFoundError as missing:
        if not missing.name.startswith(words[2]):
            raise
        module = import_module(words[2])
    return module.main(words[3:])


@pytest.fixture
def only_reading(monkeypatch):
    """Programs that read their command line and then raise `Read`."""
    parse = tyro.cli

    def read(*given, **settings):
        parse(*given, **settings)
        raise Read

    monkeypatch.setattr(tyro, "cli", read)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_is_one(page, room, only_reading, capsys):
    wrong = []
    for words, complete in commands(page):
        if words[1:] in ([], ["train"]):
            continue
        try:
            status = parsed(words)
        except Read:
            continue
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr().err
        if status and (complete or "Required options" not in said):
            wrong.append((shlex.join(words), said[-600:]))
    assert wrong == []


@pytest.mark.parametrize("program", EXAMPLES)
def test_the_examples_of_a_help_text_are_commands(program, room, only_reading):
    assert len(EXAMPLES[program]) == 3
    for example in EXAMPLES[program]:
        assert program in ("act-gym", "act-gym train") or example.startswith(f"{program} ")
        with pytest.raises(Read):
            cli.main(shlex.split(example)[1:])


def test_the_groups_of_the_help_hold_every_command_once():
    for commands, groups in ((cli.COMMANDS, GROUPS), (cli.TRAINERS, TRAIN_GROUPS)):
        assert sorted(name for names in groups.values() for name in names) == sorted(commands)


COMMANDS = {module for module, _ in (*cli.COMMANDS.values(), *cli.TRAINERS.values())} | {"benchmarks.paper", "act_gym"}


def test_a_program_with_a_command_is_called_by_it():
    """An installed package has no `python -m trainers.act`; `act_gym` itself may say what its command is."""
    found = []
    for path in (*PAGES, *(ROOT / "trainers" / "recipes").rglob("*.yaml"), *sources()):
        for line in path.read_text(encoding="utf-8").splitlines():
            for module in re.findall(r"python -m ([\w.]+\w)", line):
                if module in COMMANDS and path.name not in ("cli.py", "__main__.py"):
                    found.append((name(path), line.strip()))
    assert found == []


def sources():
    return [
        path
        for top in ("act_gym", "agents", "trainers", "benchmarks", "scripts")
        for path in sorted((ROOT / top).rglob("*.py"))
    ]


def logged_names():
    """Return the names that calls of `run.log(event=…)` in the trainers write."""
    calls = [
        call
        for path in (ROOT / "trainers").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "log"
    ]
    names = [[keyword.arg for keyword in call.keywords if keyword.arg] for call in calls]
    return {name for found in names if "event" in found for name in found}


def test_every_metric_of_an_event_is_on_a_page():
    pages = [ROOT / "docs/algorithms.md", ROOT / "docs/rollout.md", *(ROOT / "docs/algorithms").glob("*.md")]
    listed = {name for page in pages for name in re.findall(r"`(\w+)`", page.read_text(encoding="utf-8"))}
    assert {"agreement", "solved_games", "asked", "sequences"} <= logged_names()
    assert logged_names() - listed == set()
