import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.engines.webshop.catalogue.folder import pack, unpack
from act_gym.engines.webshop.catalogue.rows import (
    MAX_TEXT,
    SkippedRow,
    document,
    human_instructions,
    product_of,
    synthetic_instruction,
)
from act_gym.engines.webshop.product import Instruction, Product
from tests.act_gym.engines.webshop.catalogue.conftest import ENTRY, PEOPLE, ROW

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("value"), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_a_row_is_cleaned_as_webshop_does_it():
    assert product_of(ROW, ENTRY) == Product(
        asin="B000SHIRT0",
        title="Plain Cotton Shirt for Men",
        category="fashion",
        query="men's shirts",
        product_category="Clothing › Men › Shirts",
        description="A shirt to wear & wash.",
        bullet_points=("Pure cotton", "Long sleeve"),
        attributes=("machine wash",),
        options={"size": ("small | petite", "x-large"), "color": ("heather grey",)},
        option_images={"heather grey": "https://shop.example/grey.jpg"},
        prices=(10.5, 1031.0),
        price_tag="$10.5 to $1031.0",
        image="https://shop.example/shirt.jpg",
    )


def test_a_search_looks_into_title_description_first_bullet_point_and_options():
    assert document(product_of(ROW)) == (
        "plain cotton shirt for men a shirt to wear & wash. pure cotton "
        "size: small | petite, x-large, and color: heather grey"
    )


@pytest.mark.parametrize(
    ("pricing", "prices", "tag"),
    [
        (None, (100.0,), "$100.0"),
        ("", (100.0,), "$100.0"),
        ("$877.80", (877.8,), "$877.8"),
        ("$1,299.00", (1299.0,), "$1299.0"),
        ("from $5 - $7.25 ($0.3/oz)", (5.0, 7.25), "$5.0 to $7.25"),
    ],
)
def test_prices_are_read_as_webshop_reads_them(pricing, prices, tag):
    product = product_of(ROW | {"pricing": pricing})
    assert (product.prices, product.price_tag) == (prices, tag)


def test_what_webshop_keeps_is_kept():
    assert product_of(ROW | {"name": ""}).title == ""
    assert product_of(ROW | {"small_description": "One text"}).bullet_points == ("One text",)
    assert product_of(ROW | {"customization_options": ""}).options == {}
    assert product_of(ROW, {"instruction": "no attributes"}).attributes == ("DUMMY_ATTR",)
    assert product_of(ROW, None).attributes == ("DUMMY_ATTR",)
    assert product_of(ROW, {"attributes": []}).attributes == ()


def test_the_later_of_two_options_with_one_name_counts():
    options = {"Size": [{"value": "S"}], "Color": [{"value": "Red"}], "SIZE": [{"value": "L"}]}
    assert product_of(ROW | {"customization_options": options}).options == {"size": ("l",), "color": ("red",)}
    images = {"a": [{"value": "red", "image": "x"}], "b": [{"value": "red", "image": None}]}
    assert product_of(ROW | {"customization_options": images}).option_images == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"asin": "nan"}, "no identifier of up to ten letters and digits"),
        ({"asin": "B0000000012"}, "no identifier of up to ten letters and digits"),
        ({"asin": 7}, "no identifier of up to ten letters and digits"),
        ({"asin": "B\n"}, "no identifier of up to ten letters and digits"),
        ({"name": None}, "no title"),
        ({"name": ["a"]}, "title that is no text"),
        ({"query": None}, "no query"),
        ({"full_description": {"a": 1}}, "full_description that is no text"),
        ({"small_description": ["a", 3]}, "bullet points that are no texts"),
        ({"pricing": "ask us"}, "price that cannot be read"),
        ({"pricing": "$1.2.3"}, "price that cannot be read"),
        ({"pricing": "$" + "9" * 400}, "price that cannot be read"),
        ({"pricing": 12.5}, "price that cannot be read"),
        ({"customization_options": [1]}, "options of another form"),
        ({"customization_options": {"size": {"value": "s"}}}, "options of another form"),
        ({"customization_options": {"size": [{"value": None}]}}, "options of another form"),
        ({"full_description": "x" * 10_000_000}, f"more than {MAX_TEXT:,} characters"),
        ({"name": "half a \ud83d pair"}, "text that is no Unicode"),
        ({"customization_options": {"size": [{"value": "\udcff"}]}}, "text that is no Unicode"),
    ],
)
def test_a_broken_row_is_skipped_with_its_reason(change, reason):
    with pytest.raises(SkippedRow, match=f"^{reason}$"):
        product_of(ROW | change)


def test_a_row_without_what_decides_nothing_is_kept():
    few = {key: ROW[key] for key in ("asin", "name", "query", "category", "product_category")}
    product = product_of(few)
    assert (product.description, product.bullet_points, product.image) == ("", ("",), "")
    assert document(product) == "plain cotton shirt for men   "


@given(st.dictionaries(st.sampled_from(sorted(ROW)), JSON, max_size=4), JSON)
def test_whatever_a_row_holds_it_gives_a_product_or_a_reason(changes, entry):
    try:
        product = product_of(ROW | changes, entry)
    except SkippedRow:
        return
    assert unpack(json.loads(json.dumps(pack(product)).encode())) == product
    document(product).encode()


@given(JSON)
def test_junk_is_no_product_and_no_instruction(junk):
    with pytest.raises(SkippedRow):
        product_of(junk)
    product = product_of(ROW)
    assert synthetic_instruction(0, product, junk) is None
    assert list(human_instructions(0, junk)) == []


def test_a_synthetic_instruction_stands_for_every_combination_of_options():
    assert synthetic_instruction(4, product_of(ROW), ENTRY) == Instruction(
        position=4, text="Find me a shirt", attributes=("machine wash",), goals=2
    )
    emptied = product_of(ROW | {"customization_options": {"size": []}})
    assert synthetic_instruction(4, emptied, ENTRY).goals == 0
    assert synthetic_instruction(4, product_of(ROW), ENTRY | {"instruction": None}) is None
    assert synthetic_instruction(4, product_of(ROW), ENTRY | {"instruction_attributes": []}) is None


def test_what_people_asked_for_is_left_out_where_it_names_no_attribute():
    assert list(human_instructions(4, PEOPLE)) == [
        Instruction(position=4, text="i want a shirt.", attributes=("machine wash",), options=("x-large",))
    ]


def test_the_real_rows_become_the_products_that_webshop_indexed(webshop_files):
    rows = json.loads((webshop_files / "items_shuffle_1000.json").read_bytes())
    entries = json.loads((webshop_files / "items_ins_v2_1000.json").read_bytes())
    with (webshop_files / "documents_1k.jsonl").open("rb") as file:
        theirs = [json.loads(line) for line in file]
    assert len(theirs) == len(rows) == 1000
    for row, expected in zip(rows, theirs, strict=True):
        product, cleaned = product_of(row, entries.get(row["asin"])), expected["product"]
        assert document(product) == expected["contents"]
        assert product.options == {name: tuple(values) for name, values in cleaned["options"].items()}
        assert product.attributes == tuple(cleaned["Attributes"])
        assert product.bullet_points == tuple(cleaned["BulletPoints"])
        assert (product.title, product.description, product.query, product.image, product.price_tag) == tuple(
            cleaned[key] for key in ("Title", "Description", "query", "MainImage", "Price")
        )
        assert product.prices == tuple(cleaned["pricing"])
        images = {value: image for value, image in cleaned["option_to_image"].items() if image is not None}
        assert product.option_images == images
