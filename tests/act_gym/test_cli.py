import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from act_gym.cli import COMMANDS, TRAINERS, main, run
from act_gym.errors import EngineError, RunError
from act_gym.paths import install_command
from act_gym.version import __version__


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_without_a_command_every_command_is_shown(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {word} " in shown for word in (*COMMANDS, "train"))


def test_train_alone_shows_every_trainer(capsys):
    assert main(["train"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {word} " in shown for word in TRAINERS)


def test_the_version_is_the_projects(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"act-gym {__version__}\n"


@pytest.mark.parametrize("words", [["train", "--help"], ["eval", "--help"]])
def test_help_is_shown_by_an_ascii_terminal(words):
    ascii_terminal = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "act_gym", *words]
    done = subprocess.run(command, env=ascii_terminal, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["evl"], "act-gym: No command act-gym evl. Did you mean eval"),
        (["train", "warmpu"], "act-gym: No command act-gym train warmpu. Did you mean warmup?"),
        (["list", "--recipe", "absent.yaml"], "act-gym: Cannot read the recipe absent.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, words, complaint):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(complaint)
    assert "Traceback" not in printed.err


def fail(error):
    def program(argv):
        raise error

    return program


def test_a_failure_is_one_line_and_status_1(capsys):
    assert run(fail(RunError("The folder holds a run already.")), []) == 1
    assert capsys.readouterr().err == "act-gym: The folder holds a run already.\n"
    assert run(fail(EngineError("Java ended.")), []) == 1


def test_an_interrupted_program_says_how_to_continue(capsys):
    assert run(fail(KeyboardInterrupt()), []) == 130
    assert "--resume" in capsys.readouterr().err


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(lambda argv: 1 // 0, [])
    with pytest.raises(ModuleNotFoundError):
        run(lambda argv: import_module("no_such_module_of_ours"), [])  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("package", "extra"), [("torch", "local"), ("trl", "train"), ("py4j", "scienceworld")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, capsys, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert run(lambda argv: import_module(package), []) == 1  # type: ignore[arg-type, return-value]
    expected = f"act-gym: The package {package} is not installed. Run: {install_command(extra)}\n"
    assert capsys.readouterr().err == expected


def test_the_status_of_a_program_is_the_status_of_the_command():
    assert run(lambda argv: None, []) == 0
    assert run(lambda argv: 3, []) == 3


@pytest.mark.parametrize("module", [module for module, _ in (*COMMANDS.values(), *TRAINERS.values())])
def test_every_command_has_its_program(module):
    assert find_spec(module) is not None


def test_a_reader_that_goes_away_is_no_error():
    program = "import sys; from act_gym.cli import main; sys.exit(main(['list']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert complaints == b""


@pytest.mark.parametrize(
    ("record", "command"),
    [
        ('{"url": "file:///a%20b/act-gym", "dir_info": {"editable": true}}', "pip install -e '/a b/act-gym[eval]'"),
        ('{"url": "file:///src/act-gym", "dir_info": {}}', "pip install '/src/act-gym[eval]'"),
        ('{"url": "file:///act_gym-0.1.0.whl", "archive_info": {}}', "pip install 'act-gym[eval]'"),
        (None, "pip install 'act-gym[eval]'"),
    ],
)
def test_an_extra_is_installed_from_where_act_gym_came(monkeypatch, record, command):
    monkeypatch.setattr(
        "act_gym.paths.distribution", lambda _: type("Installed", (), {"read_text": lambda _, name: record})()
    )
    assert install_command.__wrapped__("eval") == command
