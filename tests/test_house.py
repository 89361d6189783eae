"""Rules of the house that a machine can check."""

import ast
import re
import sys
from pathlib import Path

import pytest

from act_gym.version import __version__

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("act_gym", "agents", "trainers", "benchmarks", "scripts", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LIBRARY = [path for path in FILES if path.relative_to(ROOT).parts[0] not in ("scripts", "tests")]
NAMELESS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
REQUIRED = re.findall(r'"([A-Za-z0-9_-]+)[>=<]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TAKEN = {*sys.stdlib_module_names, *(name.lower().replace("-", "_") for name in REQUIRED)}


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_has_at_most_600_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_function_has_at_most_60_lines(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    long = {node.name: 1 + (node.end_lineno or 0) - node.lineno for node in functions}
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_a_module_has_a_name_of_its_own(path):
    assert path.stem not in NAMELESS
    if path.parent.parent == ROOT and path.parent.name != "act_gym":  # its modules are never run as scripts
        assert path.stem not in TAKEN


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_a_module_says_what_lives_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_settings_are_typed(path):
    untyped = r"\barguments: Any\b|\bgetattr\((?:arguments|config)\b"
    assert re.findall(untyped, path.read_text(encoding="utf-8")) == []


def test_the_changelog_knows_this_version():
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] == __version__
    assert len(set(versions)) == len(versions)


def test_the_lock_pins_every_package_once_and_names_no_host():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert len(set(names)) == len(names)
    assert {"alfworld", "gymnasium", "scienceworld", "torch", "transformers", "trl"} <= set(names)
