"""WebShop in the terminal: pages that a person can read, and a purchase with what it was worth."""

import sys
from pathlib import Path
from subprocess import run

import pytest

from act_gym.engines.webshop.catalogue.build import build
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.io.jsonl import read_records
from act_gym.types import Episode


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shops") / "stock"
    build(place, GeneratedProducts(60))
    return place


def play(lines: list[str], *arguments: str) -> tuple[int, str, str]:
    done = run(
        [sys.executable, "-W", "error", "-m", "agents.human", "act/WebShop", *arguments],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    return done.returncode, done.stdout, done.stderr


def test_pages_are_lines_and_a_purchase_says_what_it_is_made_of(stock: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    lines = ["1", "search[black for women]", "2", "click[buy now]", ":quit"]
    status, shown, _ = play(lines, "--env-options", f"catalogue={stock}", "--save", str(file))
    assert status == 0
    assert "[SEP]" not in shown
    assert "\nBack to Search\nPage 1 (Total results: " in shown
    assert "Type it with your own words: search[…]" in shown
    assert "Parts of the reward: r_type " in shown
    (record,) = read_records(file)
    episode = Episode.from_json(record)
    assert episode.turns[0].action == "search[black for women]"
    assert len(episode.turns) == 3
    assert " [SEP] " in episode.turns[1].observation  # what agents read


@pytest.mark.parametrize(
    ("option", "message"),
    [("catalogue", "takes name=value"), ("prices={x", "is not JSON"), ("colour=red", "does not take")],
)
def test_settings_that_cannot_be_are_refused(option: str, message: str) -> None:
    status, _, log = play([], "--env-options", option)
    assert status == 2
    assert message in log
