"""What pages say, byte by byte, in all text modes."""

import pytest

from act_gym.engines.webshop.webpage import html_page
from tests.act_gym.engines.webshop.conftest import JACKET, SHIRT, TEA
from tests.act_gym.engines.webshop.markup import Reader

WANTED = {"size": "large", "color": "black"}
ITEM = ("search[shirt]", "click[b000shirt0]")
WAYS = [
    (),
    ("search[cup]",),
    ("search[cup]", "click[next >]"),
    ("search[nothing of the sort]",),
    ITEM,
    (*ITEM, "click[large]", "click[heather grey]"),
    (*ITEM, "click[description]"),
    (*ITEM, "click[features]"),
    (*ITEM, "click[reviews]"),
    (*ITEM, "click[attributes]"),
    (*ITEM, "click[large]", "click[buy now]"),
    ("search[jacket]", "click[b000jacket]", "click[regular]"),
    ("search[jacket]", "click[b000jacket]", "click[features]", "click[< prev]"),
]


@pytest.fixture
def session(visitor):
    return visitor(SHIRT.asin, **WANTED)


def test_the_search_page(session, walk):
    page = session.page(walk(session))
    assert page.text() == f"WebShop [SEP] Instruction: [SEP] {session.goal.instruction} [SEP] Search"
    assert (page.search_bar, list(page.clickables)) == (True, ["search"])


def test_the_results_page(session, walk):
    page = session.page(walk(session, "search[tea]"))
    assert page.text() == (
        f"Instruction: [SEP] {session.goal.instruction} [SEP] Back to Search [SEP] Page 1 (Total results: 1) [SEP] "
        "Next > [SEP] B0000000TE [SEP] Green Tea in bags [SEP] $4.0"
    )
    assert list(page.clickables) == ["back to search", "next >", "b0000000te"]
    assert list(session.page(walk(session, "search[cup]", "click[next >]")).clickables)[:3] == [
        "back to search",
        "< prev",
        "next >",
    ]


def test_the_item_page(session, walk):
    page = session.page(walk(session, *ITEM))
    assert page.text() == (
        f"Instruction: [SEP] {session.goal.instruction} [SEP] Back to Search [SEP] < Prev [SEP] size [SEP] small [SEP] "
        "large [SEP] x-large [SEP] color [SEP] heather grey [SEP] black [SEP] standard [SEP] Plain Cotton Shirt "
        "for Men [SEP] Price: $10.5 to $31.0 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] "
        "Buy Now"
    )
    buttons = ["back to search", "< prev", "description", "features", "reviews", "buy now"]
    assert list(page.clickables) == [*buttons, "small", "large", "x-large", "heather grey", "black", "standard"]


def test_an_empty_text_is_not_there_and_an_empty_point_is_a_space(session, walk):
    features = session.page(walk(session, *ITEM, "click[features]")).text()
    assert features.endswith("< Prev [SEP] Pure cotton [SEP]  [SEP] Long sleeve <new>")
    description = walk(session, "search[jacket]", "click[b000jacket]", "click[description]")
    assert session.page(description).text().endswith("< Prev")


def test_rich_text_marks_buttons_and_what_was_clicked_on(session, walk):
    visit = walk(session, *ITEM, "click[x-large]", "click[black]")
    lines = session.page(visit).rich_text(visit).splitlines()
    assert lines[:2] == ["You have clicked black.", "You have clicked x-large."]
    assert lines[2:7] == [
        "Instruction:",
        session.goal.instruction,
        "[button] Back to Search [button_]",
        "[button] < Prev [button_]",
        "size",
    ]
    assert "  [clicked button] x-large [clicked button_]" in lines
    assert "  [button] large [button_]" in lines
    back = walk(session, *ITEM, "click[< prev]", "search[cup shirt tea]")
    rich = session.page(back).rich_text(back)
    assert f"\n\n[clicked button] {SHIRT.asin} [clicked button_]\nPlain" in rich
    assert f"\n\n[button] {TEA.asin} [button_]\nGreen" in rich


def test_a_value_that_was_searched_for_in_quotes_looks_chosen(session, walk):
    visit = walk(session, 'search[shirt "large"]', "click[b000shirt0]")
    assert "[clicked button] large [clicked button_]" in session.page(visit).rich_text(visit)


def test_the_last_page_holds_purchase_and_reward(session, walk):
    text = session.page(walk(session, *ITEM, "click[large]", "click[buy now]")).text()
    assert text.startswith("Thank you for shopping with us! [SEP] Your code: [SEP] None [SEP] (Paste it")
    assert 'asin [SEP] B000SHIRT0 [SEP] options [SEP] {"size": "large"} [SEP]' in text
    assert "Your score (min 0.0, max 1.0) [SEP] 0.8 [SEP] Reward Details" in text


@pytest.mark.parametrize("way", WAYS)
def test_html_has_the_same_texts_and_the_same_to_click_on(visitor, walk, way):
    session = visitor(SHIRT.asin, show_attributes=True, **WANTED)
    visit = walk(session, *way)
    page = session.page(visit)
    found = Reader(html_page(visit, session.goal.instruction, show_attributes=True))
    assert " [SEP] ".join(found.texts) == page.text()
    assert found.clickables == list(page.clickables)
    assert found.has("search_input") == page.search_bar
    assert found.has("instruction-text") == (visit.page != "done")


def test_html_shows_what_was_chosen_and_its_image(visitor, walk):
    session = visitor(JACKET.asin, size="large", length="regular", seen="buy now")
    visit = walk(session, "search[jacket]", "click[b000jacket]", "click[regular]")
    html = html_page(visit, session.goal.instruction)
    assert 'value="regular" checked>' in html
    assert html.count("checked") == 1
    assert '<img id="product-image" src="https://shop.example/regular.jpg"' in html
    assert "Rain Jacket &#x27;Storm&#x27;" in html


def test_nothing_that_is_sold_can_leave_its_place_in_html(session, walk):
    html = html_page(walk(session, *ITEM, "click[features]"), '<script>alert("1")</script>')
    assert "Long sleeve &lt;new&gt;" in html
    assert "<script" not in html
