import itertools
import math

import pytest

from act_gym.engines.webshop.catalogue.folder import Products
from act_gym.engines.webshop.catalogue.generated import GeneratedProducts
from act_gym.engines.webshop.catalogue.generated.make import words
from act_gym.engines.webshop.catalogue.rows import document
from act_gym.engines.webshop.reward import attribute_found, option_chosen


@pytest.fixture(scope="module")
def items():
    return list(GeneratedProducts(1000).items(0))


def test_the_same_seed_gives_the_same_products_and_another_one_others(items):
    assert list(GeneratedProducts(50).items(0)) == items[:50]
    assert list(GeneratedProducts(50).items(20)) == items[20:50]
    others = list(GeneratedProducts(50, seed=1).items(0))
    assert not any(one.product.title == other.product.title for one, other in zip(others, items, strict=False))


def test_this_seed_gives_this_product():
    product = GeneratedProducts(1).item(0).product
    assert (product.asin, product.category) == ("G000000000", "electronics")
    assert product == GeneratedProducts(10**6).item(0).product


def test_identifiers_are_unique_and_fit():
    source = GeneratedProducts(1_180_000)
    numbers = [*range(2000), *range(1_178_000, 1_180_000), *range(0, 1_180_000, 997)]
    asins = {source.item(number).product.asin for number in set(numbers)}
    assert len(asins) == len(set(numbers))
    assert all(len(asin) == 10 and asin.isalnum() and asin.isupper() for asin in asins)


def test_products_stand_in_webshops_five_departments(items):
    share = {department.name: department.share for department in words().departments}
    assert set(share) == {"beauty", "electronics", "fashion", "garden", "grocery"}
    assert sum(share.values()) == pytest.approx(1)
    for name, expected in share.items():
        found = sum(item.product.category == name for item in items) / len(items)
        assert abs(found - expected) < 0.05


def test_every_product_is_a_plausible_one(items):
    for item in items:
        product = item.product
        assert product.title.strip() == product.title != ""
        assert product.query == product.query.lower().strip() != ""
        assert product.product_category.count(" › ") >= 1
        assert product.bullet_points
        assert all(product.bullet_points)
        assert 1 <= len(product.prices) <= 2
        assert all(price >= 0.5 for price in product.prices)
        assert product.prices[0] < product.prices[-1] or len(product.prices) == 1
        assert product.price_tag == " to ".join(f"${price}" for price in product.prices)
        assert document(product) == document(product).lower()
        assert len(set(product.attributes)) == len(product.attributes)
        for name, values in product.options.items():
            assert len(set(values)) == len(values) >= 2
            assert all(value == value.lower().strip() and "/" not in value for value in (name, *values))


def test_the_nouns_of_a_title_stand_in_it_in_their_order(items):
    for item in items:
        left = item.product.title.lower()
        for noun in item.product.nouns:
            _, found, left = left.partition(noun)
            assert found, (noun, item.product.title)
        assert item.product.nouns


def test_instructions_are_put_together_as_webshops_are(items):
    wanted = [item for item in items if item.entry]
    assert 350 < len(wanted) < 500
    for item in wanted:
        text, attributes = item.entry["instruction"], item.entry["instruction_attributes"]
        assert text.startswith("Find me ")
        assert item.product.query in text
        assert attributes
        assert all(attribute in text for attribute in attributes)
        assert all(attribute_found(attribute, item.product) for attribute in attributes)


def test_every_option_can_be_satisfied_by_choosing_it():
    for department in words().departments:
        for name, values in {**department.options, "color": words().colours}.items():
            for value in values:
                assert option_chosen((name, value), [value]), (department.name, name, value)


def test_the_words_have_no_gaps_that_nothing_fills():
    names = {"adjective", "thing", "material", "attribute", "place", "number", "other"}
    for sentence in words().sentences:
        assert sentence.format_map(dict.fromkeys(names, "x"))
    queries = [thing.query for department in words().departments for thing in department.things]
    assert len(set(queries)) == len(queries)


def test_it_has_about_the_shape_of_webshops_own(items):
    """The numbers of WebShop's 1,000 products are those in `docs/webshop-data.md`."""
    products = [item.product for item in items]

    def mean(numbers):
        numbers = list(numbers)
        return sum(numbers) / len(numbers)

    assert mean(len(each.title.split()) for each in products) == pytest.approx(18.0, rel=0.2)
    assert mean(len(each.description) for each in products) == pytest.approx(510, rel=0.3)
    assert mean(len(point) for each in products for point in each.bullet_points) == pytest.approx(163, rel=0.2)
    assert mean(len(each.attributes) for each in products) == pytest.approx(2.83, rel=0.3)
    assert mean(not each.options for each in products) == pytest.approx(0.577, abs=0.05)
    assert mean(len(values) for each in products for values in each.options.values()) == pytest.approx(5.7, rel=0.3)
    goals = [math.prod(map(len, item.product.options.values())) for item in items if item.entry]
    assert mean(goals) == pytest.approx(16.65, rel=0.5)


def test_a_folder_of_it_is_found_by_its_own_words(hundred):
    from act_gym.engines.webshop.search import SearchIndex

    products, search = Products(hundred), SearchIndex(hundred / "search")
    queries = sorted({product.query for product in products})
    found = [search.search(query, 10) for query in queries]
    assert sum(bool(hits) for hits in found) > len(queries) * 0.8
    assert all(0 <= at < 100 for at in itertools.chain.from_iterable(found))
