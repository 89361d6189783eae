import json
import sys

import pytest

from act_gym.engines.webshop.catalogue.noun_chunks import MODELS, NounFinder, find_model, load, nouns_of
from act_gym.errors import MissingDependencyError


def test_nouns_come_in_their_order_in_lower_case_as_often_as_they_occur(model):
    (nouns,) = NounFinder().submit(["Wooden Console Table and Lamp for the Table"]).result()
    assert nouns == ("wooden", "console", "table", "lamp", "table")


def test_titles_without_nouns_have_none(model):
    assert NounFinder().submit(["", " ", "!!", "and or"]).result() == [(), (), (), ()]


def test_several_processes_find_the_same(model):
    titles = ["Green Tea in Bags", "Rain Jacket", "", "USB-C Cable, 6 ft"] * 3
    alone, shared = NounFinder(), NounFinder(processes=2)
    try:
        assert shared.submit(titles).result() == alone.submit(titles).result()
    finally:
        shared.close()
    shared.close()


def test_it_says_which_model_it_is(model):
    about = NounFinder().about
    assert about["model"] == "en_core_web_sm"
    assert about["version"].startswith("3.")
    assert about["spacy"].startswith("3.")


def test_a_model_that_is_not_installed_is_an_error_with_the_command(model):
    with pytest.raises(
        MissingDependencyError, match=r"en_core_web_nothing is not installed\. Run: python -m spacy download"
    ):
        NounFinder("en_core_web_nothing")


def test_without_spacy_the_error_names_the_extra(monkeypatch):
    for name in ("spacy", *MODELS):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[webshop\]'"):
        find_model()


def test_the_parts_that_are_left_out_change_no_noun_of_the_real_titles(model, webshop_files):
    import spacy

    titles = [row["name"] for row in json.loads((webshop_files / "items_shuffle_1000.json").read_bytes())][:150]
    whole = spacy.load(model)
    expected = [
        tuple(word.text.lower() for word in whole(title) if word.pos_ in ("PNOUN", "NOUN", "PROPN")) for title in titles
    ]
    assert nouns_of(load(model), titles) == expected
