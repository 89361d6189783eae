"""A corner shop of a dozen products, small enough to know by heart, and the session of one customer in it."""

import pytest

from act_gym.engines.webshop.goals import Goals, combinations
from act_gym.engines.webshop.prices import Prices
from act_gym.engines.webshop.product import Instruction, Product
from act_gym.engines.webshop.session import Session

SHIRT = Product(
    asin="B000SHIRT0",
    title="Plain Cotton Shirt for Men",
    category="fashion",
    query="men's shirts",
    product_category="Clothing › Men › Shirts",
    description="A shirt to wear & wash. Machine washable.",
    bullet_points=("Pure cotton", "", "Long sleeve <new>"),
    attributes=("machine wash", "long sleeve"),
    options={"size": ("small", "large", "x-large"), "color": ("heather grey", "black", "standard")},
    prices=(10.5, 31.0),
    price_tag="$10.5 to $31.0",
    image="https://shop.example/shirt.jpg",
    nouns=("cotton", "shirt", "men"),
)
JACKET = Product(
    asin="B000JACKET",
    title="Rain Jacket 'Storm'",
    category="fashion",
    query="men's jackets",
    product_category="Clothing › Men › Jackets",
    description="",
    bullet_points=("Keeps dry",),
    attributes=("water resistant",),
    options={"size": ("small", "large"), "length": ("regular", "large"), "seen": ("buy now", "x [y]", "description")},
    prices=(995.0,),
    price_tag="$995.0",
    image="https://shop.example/jacket.jpg",
    option_images={"regular": "https://shop.example/regular.jpg"},
    nouns=("rain", "jacket", "storm"),
)
TEA = Product(
    asin="B0000000TEA"[:10],
    title="Green Tea in bags",
    category="grocery",
    query="beverages",
    product_category="Grocery › Beverages › Tea",
    description="Tea.",
    bullet_points=("Organic",),
    attributes=("sugar free",),
    prices=(4.0,),
    price_tag="$4.0",
    nouns=("tea", "bags", "tea"),
)
CUPS = tuple(
    Product(
        asin=f"B00000CUP{number:X}",
        title=f"Cup number {number}",
        category="garden",
        query="cups",
        product_category="Home › Kitchen › Cups",
        description="A cup.",
        bullet_points=("Round",),
        attributes=("easy clean",),
        prices=(float(number),),
        price_tag=f"${float(number)}",
        nouns=("cup", "number"),
    )
    for number in range(1, 13)
)


class Shelf:
    """The products of the corner shop."""

    def __init__(self, products):
        self._products = tuple(products)

    def __len__(self):
        return len(self._products)

    def product(self, position):
        return self._products[position]

    def position(self, asin):
        return next((at for at, product in enumerate(self._products) if product.asin == asin), None)


class WordSearch:
    """Finds products by how many of the words stand in their titles."""

    def __init__(self, shelf):
        self.asked = []
        self._words = [shelf.product(at).title.lower().split() for at in range(len(shelf))]

    def search(self, query, limit=50):
        self.asked.append((query, limit))
        counts = {at: sum(word in words for word in query.split()) for at, words in enumerate(self._words)}
        return sorted((at for at, count in counts.items() if count), key=lambda at: (-counts[at], at))[:limit]


@pytest.fixture
def shelf():
    return Shelf((SHIRT, JACKET, TEA, *CUPS))


@pytest.fixture
def search(shelf):
    return WordSearch(shelf)


INSTRUCTIONS = tuple(
    Instruction(position=at, text=text, attributes=attributes, goals=combinations(product.options))
    for at, product, text, attributes in (
        (0, SHIRT, "Find me a shirt", ("machine wash", "pure cotton")),
        (1, JACKET, "Find me a jacket", ("water resistant",)),
        (2, TEA, "Find me tea", ("sugar free",)),
    )
)


@pytest.fixture
def goals(shelf):
    return Goals(shelf, INSTRUCTIONS, human=False)


@pytest.fixture
def visitor(shelf, search, goals):
    """Returns a function from what a goal wants to the session of a customer who wants it."""

    def visit(asin, show_attributes=False, **options):
        for index in range(len(goals)):
            goal = goals.goal(index, Prices())
            if goal.product.asin == asin and goal.options == options:
                return Session(shelf, search, Prices(), goal, show_attributes=show_attributes)
        raise LookupError(f"no goal for {asin} with {options}")

    return visit


@pytest.fixture
def walk():
    """Returns a function that carries out actions from the search page and gives the last visit, None if one failed."""

    def play(session, *actions):
        visit = session.start()
        for action in actions:
            visit = session.act(visit, action, session.page(visit).clickables)
            if visit is None:
                return None
        return visit

    return play
