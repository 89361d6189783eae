"""What a user gets from `pip install`: the built wheel, in environments of their own, away from the checkout.

Dependencies are not fetched again: an environment sees links to the packages of this one, all of them or
only those that the wheel asks for.
"""

import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from act_gym import env_ids

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("agents", "trainers", "benchmarks")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def needed(name, extras=(), found=None):
    """Names of the distributions that one needs with some extras, itself included."""
    found = set() if found is None else found
    if (canonicalize_name(name), extras) in found:
        return set()
    found.add((canonicalize_name(name), extras))
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needed(requirement.name, tuple(sorted(requirement.extras)), found)
    return {name for name, _ in found}


def make_environment(folder, wheel, *, extras=()):
    """Make an environment with the wheel and links to what it needs; a foreign `agents` is there too."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in needed("act-gym", extras) - {"act-gym"}:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(found.locate_file(top))
    (site / "agents").mkdir()
    (site / "agents" / "__init__.py").write_text("OWNER = 'somebody else'\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return folder / "bin"


@pytest.fixture(scope="session")
def bare(wheel, tmp_path_factory):
    """The `bin` of an environment with the wheel's own dependencies and no extra."""
    return make_environment(tmp_path_factory.mktemp("bare"), wheel)


@pytest.fixture(scope="session")
def simulating(wheel, tmp_path_factory):
    """The `bin` of an environment with the extras `eval` and `scienceworld`."""
    return make_environment(tmp_path_factory.mktemp("simulating"), wheel, extras=("eval", "scienceworld"))


@pytest.fixture(scope="session")
def full(wheel, tmp_path_factory):
    """The `bin` of an environment with the extra `all`."""
    return make_environment(tmp_path_factory.mktemp("full"), wheel, extras=("all",))


def call(program, *words, cwd):
    """Run a program of an environment in a folder that is no checkout."""
    return subprocess.run([str(program), *words], capture_output=True, text=True, check=False, cwd=cwd)


def shipped(folder):
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_the_programs_and_nothing_else(wheel):
    expected = {f"act_gym/{path.relative_to(ROOT / 'act_gym')}" for path in shipped(ROOT / "act_gym")}
    for program in PROGRAMS:
        files = shipped(ROOT / program)
        assert files
        expected |= {f"act_gym/_programs/{path.relative_to(ROOT)}" for path in files}
    expected ^= {"act_gym/integrations/act_gym_games.py", "act_gym_games.py"}  # where verifiers looks for it
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_holds_its_data(wheel):
    held = set(ZipFile(wheel).namelist())
    assert {"act_gym/py.typed", "act_gym/splits/alfworld.txt", "act_gym/splits/scienceworld.json"} <= held
    assert any(name.startswith("act_gym/_programs/trainers/recipes/") and name.endswith(".yaml") for name in held)


def test_without_extras_the_library_imports_and_lists_what_to_install(bare, tmp_path):
    program = "import act_gym, agents; print(len(act_gym.tasks('act/ALFWorld-unseen')), agents.OWNER)"
    imported = call(bare / "python", "-c", program, cwd=tmp_path)
    assert (imported.stdout, imported.stderr) == ("134 somebody else\n", "")
    listed = call(bare / "act-gym", "list", cwd=tmp_path)
    assert listed.stderr == ""
    assert "pip install 'act-gym[scienceworld]'" in listed.stdout
    assert len(listed.stdout.splitlines()) == len(env_ids())


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["train", "act", "--limit", "1"], "train"),
        (["train", "imitation", "--limit", "1"], "train"),
        (["eval", "--agent", "random", "--limit", "1"], "eval"),
        (["train", "collect", "--agent", "local", "--env", "act/WebShop-generated-seen", "--limit", "1"], "train"),
        (["play", "act/ScienceWorld-seen"], "scienceworld"),
    ],
)
def test_a_command_that_lacks_an_extra_names_it(bare, tmp_path, words, extra):
    failed = call(bare / "act-gym", *words, cwd=tmp_path)
    assert "Traceback" not in failed.stderr
    assert f"pip install 'act-gym[{extra}]'" in failed.stderr
    assert failed.returncode == 1


def test_a_training_is_planned_without_an_extra(bare, tmp_path):
    planned = call(bare / "act-gym", "train", "plan", "--model", "qwen3-8b", "--gpus", "8", cwd=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "on 8 GPUs" in planned.stdout


def test_a_random_agent_is_evaluated_without_torch(simulating, tmp_path):
    words = ["--agent", "random", "--env", "act/ScienceWorld-seen", "--limit", "1", "--max-turns", "3"]
    done = call(simulating / "act-gym", "eval", *words, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "records.jsonl").read_text(encoding="utf-8").count("\n") == 1


@pytest.mark.parametrize("words", [["list"], ["download"], ["play"], ["eval"], ["report"], ["train", "act"]])
def test_every_command_runs_beside_a_foreign_package_named_agents(full, tmp_path, words):
    done = call(full / "act-gym", *words, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout


def test_an_environment_can_be_made_from_the_wheel(simulating, tmp_path):
    program = (
        "import gymnasium as gym, agents\n"
        "env = gym.make('act_gym:act/ScienceWorld-seen')\n"
        "print(env.reset(seed=0)[1]['split'], agents.OWNER)\n"
        "env.close()"
    )
    done = call(simulating / "python", "-c", program, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("seen somebody else\n", "")


def test_programs_run_as_modules_from_a_checkout(tmp_path):
    done = call(sys.executable, "-m", "trainers.collect", "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
