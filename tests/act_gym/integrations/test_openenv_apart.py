"""The adapter for OpenEnv in an environment of its own: openenv needs mcp below 2, and verifiers needs mcp 2."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from act_gym.io.files import only_one
from act_gym.paths import data_dir

ROOT = Path(__file__).resolve().parents[3]


def is_here() -> bool:
    """Return whether this environment has openenv; older ones of its files came with a package of another name."""
    try:
        return bool(version("openenv"))
    except PackageNotFoundError:
        return False


def needed() -> list[str]:
    """What the adapter and its tests import, without act-gym itself, which is read from this checkout."""
    file = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, extras = file["project"], file["project"]["optional-dependencies"]
    wanted = re.compile(r"(pytest|pytest-timeout|hypothesis)\b[>=]")
    tools = [each for each in file["dependency-groups"]["dev"] if wanted.match(each)]
    return [*project["dependencies"], *extras["openenv"], *extras["eval"], *tools]


def environment() -> Path:
    """Return the interpreter of a cached environment with these packages, made if it is not there."""
    names = needed()
    key = hashlib.sha256("\n".join([sys.version, *names]).encode()).hexdigest()[:12]
    folder = data_dir() / "test-environments" / f"openenv-{key}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.with_suffix(".lock"), f"making {folder}"):
        if (folder / "made").exists():
            return python
        uv = shutil.which("uv")
        if uv is None:
            pytest.skip("The environment for OpenEnv is made with uv, which is not here. Run: pip install uv")
        for words in (
            ["venv", "--clear", "--quiet", "--python", sys.executable, str(folder)],
            ["pip", "install", "--quiet", "--python", str(python), *names],
            ["pip", "install", "--quiet", "--python", str(python), "--no-deps", "alfworld==0.4.2"],  # games' data
        ):
            done = subprocess.run([uv, *words], capture_output=True, text=True, timeout=240)
            if done.returncode:
                pytest.skip(f"The environment for OpenEnv could not be made: {done.stderr.strip()[-300:]}")
        (folder / "made").touch()
    return python


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(is_here(), reason="openenv is in this environment; test_openenv.py runs here")
def test_the_adapters_tests_pass_with_openenv():
    tests = ROOT / "tests" / "act_gym" / "integrations" / "test_openenv.py"
    done = subprocess.run(
        [str(environment()), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d+ passed", done.stdout)
    assert "skipped" not in done.stdout
