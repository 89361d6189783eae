import inspect
import pickle
import re

import pytest

import act_gym
from act_gym import errors
from act_gym.errors import ActGymError, MissingDataError, MissingDependencyError, UnknownNameError, UsageError

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ActGymError)]


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found.group(1)) // 4
            del path[depth:]
            parents[found.group(2)] = path[-1] if path else "Exception"
            path.append(found.group(2))
    assert parents == {each.__name__: each.__bases__[0].__name__ for each in CLASSES}


def test_every_error_is_public():
    assert {each.__name__ for each in CLASSES} == set(errors.__all__)
    assert set(errors.__all__) <= set(act_gym.__all__)


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("environment", "act/ALFWorld-unsen", act_gym.env_ids()),
        MissingDependencyError("The package torch", "train"),
        MissingDataError("No games here. Run: act-gym download alfworld"),
        *(each("something") for each in CLASSES),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_between_processes(error):
    revived = pickle.loads(pickle.dumps(error))
    assert type(revived) is type(error)
    assert str(revived) == str(error)
    assert vars(revived) == vars(error)
    # Gymnasium's asynchronous vector environments build a second one around the first.
    assert str(type(error)(error)) == str(error)


def test_an_unknown_name_comes_with_the_nearest_one():
    error = UnknownNameError("environment", "act/ALFWorld-unsen", act_gym.env_ids())
    assert str(error).startswith("No environment act/ALFWorld-unsen. Did you mean act/ALFWorld-unseen")


def test_an_unknown_name_that_is_near_to_none_comes_with_all_if_they_are_few():
    assert str(UnknownNameError("split", "zzz", ["seen", "train"])) == "No split zzz. Expected one of: seen, train."


def test_an_unknown_name_that_is_near_to_none_comes_with_the_range_if_they_are_many():
    known = [f"task/{number:03}" for number in range(500)]
    assert str(UnknownNameError("task", "zzz", known)) == "No task zzz. There are 500, from task/000 to task/499."


def test_errors_can_be_caught_as_what_python_would_have_raised():
    assert issubclass(UsageError, ValueError)
    assert issubclass(MissingDependencyError, ImportError)
    assert issubclass(MissingDataError, FileNotFoundError)


def test_a_message_repeats_a_long_value_in_part():
    long = "x" * 100_000
    message = str(UnknownNameError("task", long, ["a", "b"]))
    assert message == f"No task {'x' * 100} … (100,000 characters). Expected one of: a, b."
