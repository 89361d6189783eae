import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
OWN_WRAPPER = """
import gymnasium as gym

class Shouting(gym.Wrapper):
    def step(self, action):
        observation, *rest = self.env.step(action)
        return observation.upper(), *rest
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package, installed without the network into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(folder), str(PLUGIN)], check=True)
    return folder


def python(words, path, cwd, **more):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)]), **more}
    done = subprocess.run([sys.executable, *words], env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(words, path, cwd):
    return python(["-m", "act_gym", *words], path, cwd)


def test_an_installed_package_is_played_reported_and_compared(installed, tmp_path):
    shown = python(
        ["-c", "import gymnasium as gym, act_gym; print(gym.make('act/Counting-unseen').reset(seed=0)[0])"],
        installed,
        tmp_path,
    )
    assert shown == "You have 0.\n"
    assert "act/Counting-unseen\t6\t2\t20\tpython\tready" in command(["list"], installed, tmp_path)
    assert "counting-seen\tv1\t6\t20" in command(["suites"], installed, tmp_path)
    eval_words = ["eval", "--suite", "counting-seen", "--env", "act/Counting-unseen", "--workers", "1"]
    command([*eval_words, "--agent", "counter:to=5", "--out", "runs/five"], installed, tmp_path)
    command([*eval_words, "--agent", "expert", "--out", "runs/expert"], installed, tmp_path)
    manifest = json.loads((tmp_path / "runs/five/manifest.json").read_text())
    assert manifest["success"] == {"Counting": "the right number is said within the step limit"}
    assert manifest["agent"]["source_sha256"]
    found = json.loads(command(["compare", "runs/five", "runs/expert", "--json"], installed, tmp_path))
    success = next(one for one in found["contrasts"] if (one["suite"], one["name"]) == ("counting-seen", "success"))
    assert (success["first"]["value"], success["second"]["value"]) == (pytest.approx(1 / 6), 1.0)
    # A report needs no plug-in: the runs hold all that it shows.
    python(["-m", "act_gym", "report", "runs/five", "runs/expert", "--out", "report.html"], tmp_path, tmp_path)
    assert "counting-seen" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_module_is_imported_in_every_process(tmp_path):
    source = (PLUGIN / "act_gym_counting.py").read_text(encoding="utf-8")
    own = (
        source.replace("act_gym_counting", "my_counting")
        + "\n\nfrom act_gym import register_benchmark\n\nregister_benchmark(BENCHMARK)\n"
    )
    (tmp_path / "my_counting.py").write_text(own)
    (tmp_path / "my_wrapper.py").write_text(OWN_WRAPPER)
    words = ["--import", "my_counting", "eval", "--env", "act/Counting-seen", "--agent", "my_counting:Counter:to=3"]
    words += ["--wrappers", "my_wrapper:Shouting", "history:turns=1", "--workers", "2", "--out", "run"]
    command(words, tmp_path, tmp_path)
    episodes = [json.loads(line) for line in (tmp_path / "run/episodes.jsonl").read_text().splitlines()]
    assert len(episodes) == 6
    assert episodes[0]["turns"][1]["observation"] == "You have 0.\n> add\n\nYOU HAVE 1."
    assert json.loads((tmp_path / "run/manifest.json").read_text())["env_options"]["wrappers"][1] == "history:turns=1"


def test_the_example_keeps_the_contract(installed, tmp_path):
    program = "from act_gym.testing import CONTRACT\nprint([check('act/Counting-seen') for check in CONTRACT])"
    assert python(["-W", "error", "-c", program], installed, tmp_path).endswith(f"{[None] * 5}\n")
