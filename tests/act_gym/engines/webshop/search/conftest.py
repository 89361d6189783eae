"""What Lucene said, documents of our own, and the real ones where they are."""

import json
import os
import random
from pathlib import Path

import pytest

from act_gym.paths import data_dir

LUCENE = Path(__file__).with_name("lucene.json")

LANGUAGE = """\
black white red leather cotton shirt shirts running shoes women's men's size small large the of and with for
chair table wood solid machine washable slim fit long sleeve 3.5 1,200 x-large gluten free organic tea wireless charger
naïve café 🙂 漢字 x:y a_b"""
WORDS = LANGUAGE.split()  # the earlier, the more common


def made_up(number, seed):
    """Names, in no order, and as many documents of common and rare words, some of them the same or empty of terms."""
    drawn = random.Random(seed)
    names = [f"N{place:05d}" for place in drawn.sample(range(number), number)]
    documents = []
    for _ in range(number):
        words = [WORDS[min(int(drawn.expovariate(0.12)), len(WORDS) - 1)] for _ in range(drawn.randrange(1, 60))]
        if drawn.random() < 0.3:
            words.append(f"brand{drawn.randrange(40)}")
        documents.append(" ".join(words))
    for place in range(0, number, 9):
        documents[place] = documents[place // 2]
    documents[3] = "the of and"
    return names, documents


@pytest.fixture(scope="session")
def lucene_says():
    """What Lucene answered when it was asked; `test_lucene.py` asks it again where it is."""
    return json.loads(LUCENE.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def corpus():
    return made_up


@pytest.fixture(scope="session")
def webshop_files():
    """A folder with WebShop's own files; skips where there is none."""
    folder = Path(os.environ.get("ACT_GYM_WEBSHOP_FILES") or data_dir() / "webshop-files")
    if not (folder / "documents_1k.jsonl").is_file():
        pytest.skip(f"WebShop's files are not in {folder}. Put them there, or set ACT_GYM_WEBSHOP_FILES.")
    return folder


@pytest.fixture(scope="session")
def real_documents(webshop_files):
    """The names and texts of the 1,000 documents."""
    rows = [json.loads(line) for line in (webshop_files / "documents_1k.jsonl").read_text("utf-8").splitlines()]
    return [row["id"] for row in rows], [row["contents"] for row in rows]
