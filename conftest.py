"""What every test and every speed measurement may ask for."""

from pathlib import Path

import pytest
from hypothesis import settings

from act_gym.engines.alfworld import GAMES_FOLDER
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
