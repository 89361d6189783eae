"""The files of the repository's host: workflows call scripts that exist, and templates can be read."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github").rglob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_the_host_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("name", ["test", "nightly"])
def test_a_workflow_calls_what_is_there(name):
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert all("timeout-minutes" in job for job in jobs.values())
    called = [word for command in commands for word in shlex.split(command)]
    assert all((ROOT / word).exists() for word in called if word.startswith("./scripts/"))
    modules = [
        module for command in commands for module in re.findall(r"python -m ((?:act_gym|benchmarks)[\w.]*)", command)
    ]
    for module in modules:
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()


def test_every_python_of_the_package_is_tested():
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["test"][
        "strategy"
    ]["matrix"]
    named = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert set(named) <= set(matrix["python"])
    assert [os.partition("-")[0] for os in matrix["os"]] == ["ubuntu", "macos"]
