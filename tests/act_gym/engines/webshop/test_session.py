"""The way through the corner shop, above all where WebShop's ways are odd."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act_gym.engines.webshop.session import parse_action
from tests.act_gym.engines.webshop.conftest import CUPS, JACKET, SHIRT, TEA

WANTED = {"size": "large", "color": "black"}


@pytest.fixture
def session(visitor):
    return visitor(SHIRT.asin, **WANTED)


@given(st.text("ab[]\n ", max_size=14))
@example("search[a][b] c")
@example("click[[x]]")
@example("click[]]")
def test_actions_are_read_as_webshops_pattern_reads_them(action):
    found = re.match(r"(.+)\[(.+)\]", action)
    assert parse_action(action) == ((found[1], found[2].lower()) if found else (action, ""))


def test_a_long_action_is_read_at_once():
    assert parse_action("[" * 200_000) == ("[" * 200_000, "")


def test_a_purchase_goes_from_search_to_results_to_item_to_options(session, walk):
    visit = walk(session, "search[Cotton Shirt]", "click[B000SHIRT0]", "click[large]", "click[Black]", "click[Buy Now]")
    assert visit.page == "done"
    assert visit.options == {"size": "large", "color": "black"}
    assert visit.score.reward == 1.0
    assert visit.url == f"http://127.0.0.1:3000/done/{session.goal.index}/B000SHIRT0/{dict(visit.options)}"


def test_results_come_ten_at_a_time_and_go_on_beyond_the_last(session, walk):
    first = walk(session, "search[cup]")
    assert [product for _, product in first.shown] == list(CUPS[:10])
    second = walk(session, "search[cup]", "click[Next >]")
    assert [product for _, product in second.shown] == list(CUPS[10:])
    third = walk(session, "search[cup]", "click[next >]", "click[next >]")
    assert (third.number, third.shown, len(third.hits)) == (3, (), 12)
    assert walk(session, "search[cup]", "click[next >]", "click[< prev]") == first


def test_the_first_page_has_no_way_back(session, walk):
    assert walk(session, "search[cup]", "click[< prev]") is None


def test_a_search_is_lower_cased_and_works_on_every_page(session, search, walk):
    visit = walk(session, "search[cup]", "click[B00000CUP1]", "search[GREEN Tea] please")
    assert [product for _, product in visit.shown] == [TEA]
    assert search.asked[-1] == ("green tea", 50)
    assert visit.url.endswith(f"/search_results/{session.goal.index}/green+tea/1")


@pytest.mark.parametrize(
    "action", ["", "search", "search[]", "Search[cup]", " search[cup]", "click[search]", "click[buy now]", "buy now"]
)
def test_what_the_search_page_does_not_offer_changes_nothing(session, walk, action):
    assert walk(session, action) is None


def test_options_outlast_the_pages_that_tell_more_and_nothing_else(session, walk):
    way = ("search[shirt]", "click[b000shirt0]", "click[large]")
    assert walk(session, *way, "click[features]", "click[< prev]").options == {"size": "large"}
    assert walk(session, *way, "click[< prev]", "click[b000shirt0]").options == {}
    assert walk(session, *way, "click[back to search]").options == {}


def test_the_pages_that_tell_more_lead_back_to_the_item_and_the_item_to_its_results(session, walk):
    way = ("search[cup]", "click[next >]", "click[b00000cupb]")
    for name in ("Description", "Features", "Reviews"):
        visit = walk(session, *way, f"click[{name}]")
        assert (visit.page, "/item_sub_page/" in visit.url) == (name, True)
        assert walk(session, *way, f"click[{name}]", "click[< prev]").page == "item"
    back = walk(session, *way, "click[< prev]")
    assert (back.page, back.number, back.seen) == ("results", 2, {"B00000CUPB"})


def test_attributes_are_shown_where_the_shop_shows_them(session, visitor, walk):
    way = ("search[shirt]", "click[b000shirt0]", "click[attributes]")
    assert walk(session, *way) is None
    assert walk(visitor(SHIRT.asin, show_attributes=True, **WANTED), *way).page == "Attributes"


def test_a_value_of_two_options_is_chosen_for_the_later_one(visitor, walk):
    session = visitor(JACKET.asin, size="large", length="regular", seen="buy now")
    visit = walk(session, "search[jacket]", "click[b000jacket]", "click[large]", "click[small]")
    assert visit.options == {"length": "large", "size": "small"}


def test_a_value_that_is_called_like_a_button_acts_as_the_button(visitor, walk):
    session = visitor(JACKET.asin, size="large", length="regular", seen="buy now")
    way = ("search[jacket]", "click[b000jacket]")
    bought = walk(session, *way, "click[buy now]")
    assert (bought.page, bought.options) == ("done", {})
    assert walk(session, *way, "click[description]").page == "Description"
    assert walk(session, *way, "click[x [y]]") is None, "the pattern stops at the inner bracket"


def test_back_goes_by_the_words_in_the_address(session, walk):
    """A search for the name of a kind of page makes WebShop take the item for it."""
    visit = walk(session, "search[search_results shirt]", "click[b000shirt0]", "click[< prev]")
    assert (visit.page, visit.number, visit.shown) == ("results", 0, ())
    assert walk(session, "search[item_page shirt]", "click[b000shirt0]", "click[features]", "click[< prev]").page == (
        "results"
    )


def test_marks_search_by_department_query_and_attribute(session, walk):
    assert [product for _, product in walk(session, "search[<c> grocery]").shown] == [TEA]
    assert [product for _, product in walk(session, "search[<q> men's shirts]").shown] == [SHIRT]
    assert len(walk(session, "search[<a> easy clean]").hits) == 12
    assert walk(session, "search[<c>]") is None
    assert len(walk(session, "search[<q>]").hits) == 0


def test_the_mark_for_anything_gives_the_same_products_every_time(session, shelf, walk):
    visit = walk(session, "search[<r>]")
    assert sorted(visit.hits) == list(range(len(shelf)))
    assert walk(session, "search[<r>]") == visit
    assert walk(session, "search[<r> again]").hits != visit.hits


def test_a_visit_is_never_changed_by_what_follows(session, walk):
    item = walk(session, "search[shirt]", "click[b000shirt0]")
    before = repr(item)
    for action in ("click[large]", "click[buy now]", "click[< prev]", "search[tea]"):
        assert session.act(item, action, session.page(item).clickables) is not None
    assert repr(item) == before
