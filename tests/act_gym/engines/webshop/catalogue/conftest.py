"""Rows as WebShop has them, small sources of folders, and, where they are on this machine, WebShop's own files."""

import json
import os
from pathlib import Path

import pytest

from act_gym.engines.webshop.catalogue.build import build
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.errors import MissingDependencyError
from act_gym.paths import data_dir

ROW = {
    "name": "Plain Cotton Shirt for Men",
    "full_description": "A shirt to wear & wash.",
    "pricing": "$10.50$1,031.00",
    "images": ["https://shop.example/shirt.jpg", "https://shop.example/back.jpg"],
    "product_category": "Clothing › Men › Shirts",
    "average_rating": 4.5,
    "small_description": ["Pure cotton", "Long sleeve"],
    "customization_options": {
        "Size": [{"value": " Small/Petite ", "image": None}, {"value": "X-Large"}],
        "Fit": None,
        "Color": [{"value": "Heather Grey", "image": "https://shop.example/grey.jpg"}],
    },
    "asin": "B000SHIRT0",
    "category": "fashion",
    "query": " Men's Shirts ",
    "brand": "left out",
}
ENTRY = {"attributes": ["machine wash"], "instruction": "Find me a shirt", "instruction_attributes": ["machine wash"]}
PEOPLE = [
    {"instruction": "i want a shirt.", "instruction_attributes": ["machine wash"], "instruction_options": ["x-large"]},
    {"instruction": "nothing of note", "instruction_attributes": [], "instruction_options": []},
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder; gives the folder in it where shops lie."""
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache/webshop"


@pytest.fixture(scope="session")
def hundred(tmp_path_factory):
    """The folder of a hundred generated products. Read it only."""
    place = tmp_path_factory.mktemp("shops") / "hundred"
    build(place, GeneratedProducts(100))
    return place


@pytest.fixture(scope="session")
def model():
    """The name of the spaCy model; skips where there is none."""
    from act_gym.engines.webshop.catalogue.noun_chunks import find_model

    try:
        return find_model()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def webshop_files():
    """A folder with WebShop's own files; skips where there is none."""
    folder = Path(os.environ.get("ACT_GYM_WEBSHOP_FILES") or data_dir() / "webshop-files")
    if not (folder / "items_shuffle_1000.json").is_file():
        pytest.skip(f"WebShop's files are not in {folder}. Put them there, or set ACT_GYM_WEBSHOP_FILES.")
    return folder


def write_files(folder, rows, entries=None, people=None):
    """Write a catalogue in WebShop's files."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {ROW["asin"]: ENTRY} if entries is None else entries
    people = {ROW["asin"]: PEOPLE} if people is None else people
    for name, content in (
        ("items_shuffle_1000.json", rows),
        ("items_ins_v2_1000.json", entries),
        ("items_human_ins.json", people),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
