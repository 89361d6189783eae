"""The package is real here; where it is absent or damaged, another process sees a copy that is."""

import os
import pickle
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from act_gym.engines.alfworld.generate import generate
from act_gym.engines.alfworld.generate.alfworld_data import check, folder, goals, language, read, rules
from act_gym.errors import CorruptDataError
from act_gym.splits.alfworld import TASK_TYPES

ROOT = Path(__file__).parents[5]
SITE = Path(find_spec("gymnasium").submodule_search_locations[0]).parent
PROGRAM = """
from act_gym.engines.alfworld.generate import generate
from act_gym.errors import ActGymError
try:
    print(generate("train", 0)["walkthrough"])
except ActGymError as error:
    print(f"{type(error).__name__}: {error}")
"""

LOAD_ROOM = """
from act_gym.engines.alfworld.generate.rooms import room
from act_gym.errors import ActGymError
try:
    print(room(405))
except ActGymError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with every installed package but alfworld."""
    made = tmp_path_factory.mktemp("site")
    for package in SITE.iterdir():
        if not package.name.startswith(("alfworld", "__pycache__", "_")) and package.suffix != ".pth":
            (made / package.name).symlink_to(package)
    return made


@pytest.fixture
def run(site, tmp_path):
    """Run a program that finds, of installed packages, what is in `site` and in the test's own folder."""

    def start(program=PROGRAM):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path), str(site)))}
        # -S: the packages installed here stay out.
        command = [sys.executable, "-S", "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return start


@pytest.fixture
def package(tmp_path):
    """A copy of the package's data, and nothing else of it, for the test to change."""
    made = tmp_path / "alfworld"
    for name in ("__init__.py", "gen/constants.py", "gen/goal_library.py", "data/alfred.pddl", "data/alfred.twl2"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder() / name, made / name)
    layouts = made / "gen" / "layouts"
    layouts.mkdir()
    for path in (folder() / "gen" / "layouts").glob("FloorPlan*"):
        (layouts / path.name).symlink_to(path)
    return made


def change(path, content):
    """Put content into a file's place, never into the file that a link leads to."""
    path.unlink()
    path.write_bytes(content)


def test_without_the_package_the_error_says_what_to_install(run):
    assert run() == (
        "MissingDependencyError: The alfworld package, whose data games are made from, is not installed. "
        "Run: pip install --no-deps alfworld==0.4.2"
    )


def test_a_folder_that_only_has_the_packages_name_is_not_the_package(run, tmp_path):
    (tmp_path / "alfworld" / "json_2.1.1").mkdir(parents=True)
    assert run().startswith("MissingDependencyError: ")


def test_without_the_package_the_tasks_are_listed(run):
    program = "from act_gym.splits.alfworld_generated import tasks; print(len(tasks()))"
    assert run(program) == "3300"


def test_the_data_alone_is_enough(run, package):
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    assert run() == str(generate("train", 0)["walkthrough"])


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("gen/constants.py", "'Cleanable': {'Apple',", "'Cleanable': {", "that of alfworld 0.4.2. Run: pip install"),
        (
            "gen/constants.py",
            "VAL_ACTION_OBJECTS = {",
            "VAL_ACTION_OBJECTS = dict() or {",
            "not as expected: 'VAL_ACTION_OBJECTS'",
        ),
        ("gen/constants.py", "DEBUG = True", "DEBUG = (", "Cannot make games from"),
        ("gen/constants.py", "VAL_ACTION_OBJECTS = {", "VAL_ACTION_OBJECTS = [{", "Cannot make games from"),
        ("gen/constants.py", "MOVABLE_RECEPTACLES = [", "MOVABLE_RECEPTACLES = {[]: 1}, [", "Cannot make games from"),
        ("gen/goal_library.py", "gdict = {}", "gdict = [7]", "Cannot make games from"),
        (
            "gen/goal_library.py",
            "'templates': ['put a {obj}",
            "'worded': ['put a {obj}",
            "not as expected: 'templates'",
        ),
        ("gen/layouts/FloorPlan405-openable.json", "270", "90", "that of alfworld 0.4.2. Run: pip install"),
        ("data/alfred.twl2", "UNKNOWN GOAL", "win", "that of alfworld 0.4.2. Run: pip install"),
    ],
)
def test_changed_data_is_refused_and_says_what_to_run(run, package, name, old, new, said):
    path = package / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    change(path, text.replace(old, new, 1).encode())
    told = run()
    assert told.startswith("CorruptDataError: ")
    assert said in told


def test_nothing_of_the_packages_code_is_run(run, package):
    path = package / "gen" / "constants.py"
    hostile = "open('ran', 'w')\nDEBUG = open('ran', 'w')\nVAL_RECEPTACLE_OBJECTS = open('ran', 'w').write('x')\n"
    change(path, hostile.encode() + path.read_bytes())
    assert run().startswith("[")
    assert not (package.parent / "ran").exists()


class Hostile:
    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("FloorPlan405-layout.npy", pickle.dumps(Hostile())),
        ("FloorPlan405-layout.npy", b""),
        ("FloorPlan405-objects.json", b"7"),
        ("FloorPlan405-openable.json", b"[" * 100_000),
        ("FloorPlan405-openable.json", b'{"Cabinet": [1, 2, 3]}'),
    ],
    ids=("code", "empty array", "number", "deep", "short"),
)
def test_a_damaged_room_is_refused_and_nothing_in_it_is_run(run, package, name, content):
    change(package / "gen" / "layouts" / name, content)
    assert run(LOAD_ROOM).startswith("CorruptDataError: The data in ")
    assert not (package.parent / "ran").exists()


def test_the_rules_are_the_packages():
    check()
    found = rules()
    assert found.holds["CoffeeMachine"] == {"Mug"}
    assert found.holds["SideTable"] == found.holds["DiningTable"] > {"Apple"}
    assert found.allows["Toggleable"] == {"DeskLamp", "FloorLamp"}
    assert "Mug" in found.movable
    assert "Mug" in found.objects
    assert "Cabinet" in found.receptacles
    assert not set(found.objects) & set(found.receptacles)
    assert found.objects == tuple(sorted(found.objects))
    assert {"Fridge", "Drawer"} <= found.openable


def test_there_is_a_goal_for_every_task_type_with_two_sentences():
    assert set(TASK_TYPES) <= goals().keys()
    assert all(len(goals()[name].sentences) == 2 for name in TASK_TYPES)
    domain, grammar = language()
    assert domain.startswith(";; Specification in PDDL of the Alfred domain")
    assert "UNKNOWN GOAL" in grammar


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CorruptDataError, match=r"alfred\.nothing"):
        read("data/alfred.nothing")
