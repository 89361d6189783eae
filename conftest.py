"""What every test and every speed measurement may ask for."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from act_gym.engines.alfworld.files import GAMES_FOLDER
from act_gym.paths import data_dir

# No deadline: the machine that runs these may be busy, and a slow example is no wrong one.
settings.register_profile("house", deadline=None, max_examples=50)
settings.load_profile("house")


@pytest.fixture(scope="session")
def alfworld_data() -> Path:
    """The folder of ALFWorld's games; skips where they are not."""
    folder = data_dir() / GAMES_FOLDER
    if not folder.is_dir():
        pytest.skip(f"ALFWorld's games are not in {folder}. Run: act-gym download alfworld")
    return folder


@pytest.fixture(scope="session")
def webshop_data() -> Path:
    """The folder of WebShop's catalogue of 1,000 products; skips where it is not."""
    folder = data_dir() / "webshop" / "1000"
    if not folder.is_dir():
        pytest.skip(f"WebShop's catalogue is not in {folder}. Run: act-gym download webshop")
    return folder


@pytest.fixture(scope="session")
def small_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Returns a context in which no file grows beyond a number of bytes, as on a full disk.

    Only around the writing under test: the limit holds for the whole process, and so for the log that
    its standard output may go to, which ends a test run without a word.
    """

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited
